"""The weight average of the retriever: weights between the start and the trained weights (WiSE-FT).

Training can harm a pretrained encoder. The weights (1 - alpha) · start + alpha · trained are therefore evaluated for
every alpha of ``model.training.wise_ft`` (Wortsman et al. 2022, arXiv 2109.01903), and one alpha is selected:

1. An alpha is refused if photo or text queries of either pool lose reciprocal rank against the start, by a one-sided
   sign-flip test over pairs at RATE.
2. Of the other alphas the one with the highest photo MRR is selected, a mean of both pools' MRR; of ties the smallest.

There are two pools: dev queries, whose products are not in the retriever's training set, and held-out train queries,
whose products are in the training set with other photos. Held-out queries are biased towards training and more
frequent, so both pools have the same weight, and each is tested separately. A text query is the text of a query photo,
ranked in the same gallery (the mean of a product's catalogue photos).

Later stages use the same queries: held-out queries select teachers and prove fingerprints, and so do dev queries. They
have no gradient in the retriever, but selected one of a few encoders, by the ranks of the mean of views. So dev metrics
of the kept weights are slightly optimistic, and a fingerprint's gain over the mean is slightly pessimistic. Validation
and test queries are not used.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, read_records
from skufp.data.captions import training_text
from skufp.data.splits import HELD_OUT
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.models.dual_encoder import TrainableEncoder

FILE = "wise_ft.json"
RATE = 0.05  # of refusing an alpha without a loss, in each of the four tests
PHOTO, TEXT = "photo", "text"
POOLS = {"dev": "dev", "train": HELD_OUT}  # a split and its pool


@dataclass(frozen=True)
class QueryPool:
    """Queries of one ``kind`` from one ``pool``: ``reciprocal`` [A, Q] by alpha, and every query's SKU and pair [Q]."""

    kind: str
    pool: str
    reciprocal: np.ndarray
    sku: np.ndarray
    pair: np.ndarray


# The metrics of an alpha for one kind and pool of queries; standard errors are over SKUs.
PoolMetrics = TypedDict(
    "PoolMetrics",
    {
        "queries": int,
        "skus": int,
        "pairs": int,
        "mrr": float,
        "mrr_standard_error": float,
        "recall@1": float,
        "gain": float,  # in reciprocal rank, over the start
        "gain_standard_error": float,
        "p_of_loss": float,
    },
)


class Tried(TypedDict):
    """One alpha: its metrics by pool, and the queries that lose rank, ``<kind>, <pool>``."""

    alpha: float
    photo_mrr: float | None  # mean over pools; None without photo queries
    loses: list[str]
    photo: dict[str, PoolMetrics]
    text: dict[str, PoolMetrics]


class Mix(TypedDict):
    """wise_ft.json: the selected alpha, and every alpha tried."""

    alpha: float
    false_positive_rate: float
    tried: list[Tried]


def mix_weights(cfg: Config, start: Any, trained: Any, data: Any, out: Path) -> dict[str, Mix]:
    """Choose alpha, load the mixed weights into ``trained``, and return the report, which is also in wise_ft.json."""
    from skufp.models.weight_average import weight_average

    alphas = sorted({float(alpha) for alpha in cfg.stages[cfg.stage].wise_ft})
    first, last = start.state_dict(), {name: value.clone() for name, value in trained.state_dict().items()}
    report = choose(alphas, measure(cfg, trained, (weight_average(first, last, alpha) for alpha in alphas), data))
    trained.load_state_dict(weight_average(first, last, report["alpha"]))
    write_json(out / FILE, report)
    print(*lines(report), sep="\n")
    return {"wise_ft": report}


def choose(alphas: list[float], evidence: list[QueryPool]) -> Mix:
    """Return the report: the selected ``alpha``, and a row of evidence for each of ``alphas``, of which 0 is first.

    Without photo queries the last of ``alphas`` is selected: there is no evidence against the training.
    """
    rows = [_row(alphas, i, evidence) for i in range(len(alphas))]
    best = len(alphas) - 1
    if any(part.kind == PHOTO for part in evidence):
        best = max(range(len(alphas)), key=lambda i: (not rows[i]["loses"], round(rows[i]["photo_mrr"] or 0.0, 9), -i))
    return {"alpha": alphas[best], "false_positive_rate": RATE, "tried": rows}


def _row(alphas: list[float], i: int, evidence: list[QueryPool]) -> Tried:
    """Return the metrics of one alpha against the start, and the kinds and pools that it ``loses``."""
    from skufp.retrieval.bootstrap import standard_error
    from skufp.retrieval.sign_flip import gain_p

    parts: dict[str, dict[str, PoolMetrics]] = {PHOTO: {}, TEXT: {}}
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
    return {"alpha": alphas[i], "photo_mrr": float(np.mean(mrr)) if mrr else None, "loses": loses,
            "photo": parts[PHOTO], "text": parts[TEXT]}  # fmt: skip


def lines(report: Mix) -> list[str]:
    """Return the report as lines of text: the choice, then a line for every alpha."""
    printed = [f"retriever: {100 * report['alpha']:g} % of the training is kept (model.training.wise_ft)"]
    for row in report["tried"]:
        cells = [
            f"{kind} {pool} {own['mrr']:.3f} ({own['gain']:+.3f} ± {own['gain_standard_error']:.3f})"
            for kind, parts in ((PHOTO, row["photo"]), (TEXT, row["text"]))
            for pool, own in parts.items()
        ]
        refused = f"; refused: worse than the start in {' and '.join(row['loses'])}" if row["loses"] else ""
        kept = " <- kept" if row["alpha"] == report["alpha"] else ""
        printed.append(f"  alpha {row['alpha']:g}: MRR {', '.join(cells) or 'unknown: no queries'}{refused}{kept}")
    return printed


def measure(cfg: Config, module: Any, weights: Iterable[Mapping[str, Any]], data: Any) -> list[QueryPool]:
    """Return the evidence of both pools for all ``weights``, state dicts of ``module``."""
    import torch

    from skufp.compute.device import autocast, device

    module = copy.deepcopy(module).to(device(cfg)).eval()
    splits = {split: _records(data.prepared / f"{split}_image_text.jsonl", pool) for split, pool in POOLS.items()}
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
        QueryPool(kind, pool, np.stack(values), *(np.array(c) for c in zip(*groups[kind, pool], strict=True)))
        for (kind, pool), values in sorted(found.items())
    ]


def _records(path: Path, pool: str) -> dict[int, CropRecord]:
    """Return a split's catalogue photos and the queries of ``pool``, by row; empty without queries."""
    rows = dict(enumerate(read_records(path))) if path.exists() else {}
    rows = {i: r for i, r in rows.items() if r.domain == CATALOG or pool != HELD_OUT or r.pool == HELD_OUT}
    return rows if any(r.domain == QUERY for r in rows.values()) else {}


Ranked = tuple[np.ndarray, list[tuple[str, int]]]  # reciprocal ranks [Q], and each query's SKU and pair


def _rank(encoder: "TrainableEncoder", records: dict[int, CropRecord], split: str, data: Any) -> dict[str, Ranked]:
    """Return, by kind, a split's queries ranked among the SKUs' means of catalogue photos."""
    from skufp.models.text_vectors import text_vectors
    from skufp.retrieval.metrics import ranks_in_blocks
    from skufp.retrieval.representations import mean_of_views, normalise

    vectors = _encode(encoder, records, split, data)
    views = [i for i, r in records.items() if r.domain == CATALOG]
    number = {sku: n for n, sku in enumerate(dict.fromkeys(records[i].sku_id for i in views))}
    own = np.array([number[records[i].sku_id] for i in views])
    gallery = mean_of_views(np.stack([vectors[i] for i in views]), own, len(number))
    photos = [i for i, r in records.items() if r.domain == QUERY]
    text = {i: training_text({"text": records[i].text, "rich_text": records[i].rich_text}, data.text) for i in photos}
    texts = list({(records[i].sku_id, text[i]): i for i in photos if text[i]}.values())
    queries_of = {PHOTO: (photos, np.stack([vectors[i] for i in photos]))}
    if texts:
        queries_of[TEXT] = (texts, text_vectors(encoder, [text[i] for i in texts], data.batch_size))
    result = {}
    for kind, (rows, queries) in queries_of.items():
        target = np.array([number[records[i].sku_id] for i in rows])
        ranks = ranks_in_blocks(lambda q: q @ gallery.T, normalise(queries), target)
        result[kind] = (1 / ranks, [(records[i].sku_id, records[i].pair_id) for i in rows])
    return result


def _encode(
    encoder: "TrainableEncoder", records: Mapping[int, CropRecord], split: str, data: Any
) -> dict[int, np.ndarray]:
    """Return the vector of each of ``records`` by its row; other rows of the shards are read but not encoded."""
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
