"""How much of the retriever's training to keep: weights between the start and the trained end (WiSE-FT).

Training can cost a pretrained encoder more than it brings. The weights (1 - alpha) · start + alpha · trained are
therefore tried for every alpha of ``model.training.wise_ft`` (Wortsman et al. 2022, arXiv 2109.01903), and one is kept:

1. An alpha is refused if photo or text queries of either pool lose reciprocal rank against the start, by a one-sided
   sign-flip test over pairs at RATE.
2. Of the others the one with the highest photo MRR is kept, a mean of both pools' MRR; of equal ones the smallest.

The pools are the dev queries, whose products the retriever has never seen, and the held-out train queries, photos that
it has never seen of products whose other photos it learnt from. The latter flatter training, and there are more of
them: so both pools count the same, and each is guarded by itself. A text query is the text of a query photo, asked of
the same gallery (the mean of a product's catalogue photos).

What later stages may still claim: held-out queries pick teachers and prove fingerprints, and dev queries too. They have
then chosen one of a few encoders, by how well the mean of views answers them. No gradient came from them, but dev
metrics of the kept weights are slightly optimistic, and a fingerprint's gain over the mean is slightly pessimistic.
Validation and test queries take no part.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, read_records
from skufp.data.captions import training_text
from skufp.data.splits import HELD_OUT

FILE = "wise_ft.json"
RATE = 0.05  # of refusing an alpha that loses nothing, in each of the four tests
PHOTO, TEXT = "photo", "text"
POOLS = {"dev": "dev", "train": HELD_OUT}  # a split and how its evidence is called


@dataclass(frozen=True)
class Asked:
    """Queries of one ``kind`` from one ``pool``: ``reciprocal`` [A, Q] by alpha, and every query's SKU and pair [Q]."""

    kind: str
    pool: str
    reciprocal: np.ndarray
    sku: np.ndarray
    pair: np.ndarray


def mix_weights(cfg: DictConfig, start: Any, trained: Any, data: Any, out: Path) -> dict[str, Any]:
    """Choose alpha, load the mixed weights into ``trained``, and return the report, which is also in wise_ft.json."""
    from skufp.models.weight_average import weight_average

    alphas = sorted({float(alpha) for alpha in cfg.stages[cfg.stage].wise_ft})
    first, last = start.state_dict(), {name: value.clone() for name, value in trained.state_dict().items()}
    report = choose(alphas, ask(cfg, trained, (weight_average(first, last, alpha) for alpha in alphas), data))
    trained.load_state_dict(weight_average(first, last, report["alpha"]))
    write_json(out / FILE, report)
    print(*lines(report), sep="\n")
    return {"wise_ft": report}


def choose(alphas: list[float], evidence: list[Asked]) -> dict[str, Any]:
    """Return the report: the ``alpha`` that is kept, and a row of evidence for each of ``alphas``, of which 0 is first.

    Without any photo query the last of ``alphas`` is kept: there is no evidence against the training.
    """
    rows = [_row(alphas, i, evidence) for i in range(len(alphas))]
    best = len(alphas) - 1
    if any(part.kind == PHOTO for part in evidence):
        best = max(range(len(alphas)), key=lambda i: (not rows[i]["loses"], round(rows[i]["photo_mrr"], 9), -i))
    return {"alpha": alphas[best], "false_positive_rate": RATE, "tried": rows}


def _row(alphas: list[float], i: int, evidence: list[Asked]) -> dict[str, Any]:
    """Return what the queries say of one alpha beside the start, and what it ``loses``: kinds and pools."""
    from skufp.retrieval.bootstrap import standard_error
    from skufp.retrieval.sign_flip import gain_p

    parts: dict[str, Any] = {PHOTO: {}, TEXT: {}}
    for part in evidence:
        values, gain = part.reciprocal[i], part.reciprocal[i] - part.reciprocal[0]
        parts[part.kind][part.pool] = {
            "queries": len(values), "skus": len(np.unique(part.sku)), "pairs": len(np.unique(part.pair)),
            "mrr": float(values.mean()), "mrr_standard_error": standard_error(values, part.sku),
            "recall@1": float((values > 0.999).mean()), "gain": float(gain.mean()),
            "gain_standard_error": standard_error(gain, part.sku), "p_of_loss": gain_p(-gain, part.pair),
        }  # fmt: skip
    loses = [f"{kind}, {pool}" for kind in parts for pool, own in parts[kind].items() if own["p_of_loss"] <= RATE]
    mrr = [own["mrr"] for own in parts[PHOTO].values()]
    return {"alpha": alphas[i], "photo_mrr": float(np.mean(mrr)) if mrr else None, "loses": loses, **parts}


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report as lines of text: the choice, then a line for every alpha."""
    said = [f"retriever: {100 * report['alpha']:g} % of the training is kept (model.training.wise_ft)"]
    for row in report["tried"]:
        cells = [
            f"{kind} {pool} {own['mrr']:.3f} ({own['gain']:+.3f} ± {own['gain_standard_error']:.3f})"
            for kind in (PHOTO, TEXT)
            for pool, own in row[kind].items()
        ]
        refused = f"; refused: worse than the start in {' and '.join(row['loses'])}" if row["loses"] else ""
        kept = " <- kept" if row["alpha"] == report["alpha"] else ""
        said.append(f"  alpha {row['alpha']:g}: MRR {', '.join(cells) or 'unknown: no queries'}{refused}{kept}")
    return said


def ask(cfg: DictConfig, module: Any, weights: Iterable[Mapping[str, Any]], data: Any) -> list[Asked]:
    """Return the evidence of both pools about every one of ``weights``, state dicts of ``module``."""
    import torch

    from skufp.compute.device import autocast, device

    module = copy.deepcopy(module).to(device(cfg)).eval()
    splits = {split: _asked(data.prepared / f"{split}_image_text.jsonl", pool) for split, pool in POOLS.items()}
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for state in weights:
        module.load_state_dict(state)
        with torch.inference_mode(), autocast(cfg):
            for split, records in splits.items():
                if records:
                    for kind, (reciprocal, own) in _rank(module.encoder, records, split, data).items():
                        found.setdefault((kind, POOLS[split]), []).append(reciprocal)
                        groups[kind, POOLS[split]] = own
    return [
        Asked(kind, pool, np.stack(values), *(np.array(c) for c in zip(*groups[kind, pool], strict=True)))
        for (kind, pool), values in sorted(found.items())
    ]


def _asked(path: Path, pool: str) -> dict[int, CropRecord]:
    """Return a split's catalogue photos and the queries that may ask, by row; nothing where no query may."""
    rows = dict(enumerate(read_records(path))) if path.exists() else {}
    rows = {i: r for i, r in rows.items() if r.domain == CATALOG or pool != HELD_OUT or r.pool == HELD_OUT}
    return rows if any(r.domain == QUERY for r in rows.values()) else {}


Ranked = tuple[np.ndarray, list[tuple[str, int]]]  # reciprocal ranks [Q], and each query's SKU and pair


def _rank(encoder: Any, records: dict[int, CropRecord], split: str, data: Any) -> dict[str, Ranked]:
    """Return by kind how an encoder ranks a split's queries among its SKUs' means of catalogue photos."""
    from skufp.retrieval.metrics import ranks_in_blocks
    from skufp.retrieval.representations import mean_of_views, normalise

    vectors = _encode(encoder, records, split, data)
    views = [i for i, r in records.items() if r.domain == CATALOG]
    number = {sku: n for n, sku in enumerate(dict.fromkeys(records[i].sku_id for i in views))}
    own = np.array([number[records[i].sku_id] for i in views])
    gallery = mean_of_views(np.stack([vectors[i] for i in views]), own, len(number))
    photos = [i for i, r in records.items() if r.domain == QUERY]
    said = {i: training_text({"text": records[i].text, "rich_text": records[i].rich_text}, data.text) for i in photos}
    texts = list({(records[i].sku_id, said[i]): i for i in photos if said[i]}.values())
    asked = {PHOTO: (photos, np.stack([vectors[i] for i in photos]))}
    if texts:
        asked[TEXT] = (texts, _encode_texts(encoder, [said[i] for i in texts], data.batch_size))
    result = {}
    for kind, (rows, queries) in asked.items():
        target = np.array([number[records[i].sku_id] for i in rows])
        ranks = ranks_in_blocks(lambda q: q @ gallery.T, normalise(queries), target)
        result[kind] = (1 / ranks, [(records[i].sku_id, records[i].pair_id) for i in rows])
    return result


def _encode(encoder: Any, records: Mapping[int, CropRecord], split: str, data: Any) -> dict[int, np.ndarray]:
    """Return the vector of every one of ``records`` by its row; other rows of the shards are read but not encoded."""
    from skufp.data.full_pass import full_pass

    vectors: dict[int, np.ndarray] = {}
    names = [f"{split}-{CATALOG}", f"{split}-{QUERY}"]
    for batch in full_pass(data.shards, names, encoder.preprocessing, data.batch_size, data.workers):
        chosen = [i for i, row in enumerate(batch["row"].tolist()) if row in records]
        if chosen:
            pixels = batch["pixels"][chosen].to(encoder.logit_scale.device)
            encoded = encoder.encode_image(pixels).float().cpu().numpy()
            vectors.update(zip(batch["row"][chosen].tolist(), encoded, strict=True))
    if missing := len(records) - len(vectors):
        raise RuntimeError(f"{split}: {missing} of {len(records)} rows are not in the shards")
    return vectors


def _encode_texts(encoder: Any, texts: list[str], batch_size: int) -> np.ndarray:
    """Return [N, D]; equal texts are encoded once."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    distinct = list(number)
    parts = [
        encoder.encode_text(distinct[i : i + batch_size]).float().cpu().numpy()
        for i in range(0, len(distinct), batch_size)
    ]
    return np.concatenate(parts)[[number[text] for text in texts]]
