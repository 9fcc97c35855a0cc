"""Two searches worth pasting: dev queries that this run's own fingerprints answer well."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.records import QUERY
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.schema import Config

DEV = "dev"


def example_search(cfg: Config, inputs: dict[str, Path], table: VectorTable, queries: VectorTable) -> dict[str, Any]:
    """Return the photo and the text of dev queries that rank best, and the ``gallery`` to search for them.

    Dev queries, since validation is there to be scored, not to be picked from. Their SKUs join the gallery. ``rank``
    holds the rank of each one's own SKU. Without dev queries, the first of ``queries``, whose ranks are not looked at.
    """
    from skufp.data.captions import training_text

    gallery = list(dict.fromkeys([*cfg.data.gallery, DEV]))
    kept = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet").where(split=gallery)
    number = SkuGroups.of(kept).number
    dev = table.where(split=DEV, domain=QUERY)
    dev = dev.take(np.array([i for i, key in enumerate(dev.sku_keys()) if key in number], np.int64))
    if not len(dev):
        row = queries.rows.slice(0, 1).to_pylist()[0]
        text = training_text(row, cfg.data.text) or "navy tee"
        return {"image": str(inputs["prepare"] / row["image_path"]), "text": text, "gallery": None, "rank": {}}
    target = np.array([number[key] for key in dev.sku_keys()])
    rows = dev.rows.to_pylist()
    photo, rank = best(np.asarray(dev.vectors), np.asarray(kept.vectors), target)
    found: dict[str, Any] = {"image": str(inputs["prepare"] / rows[photo]["image_path"]), "text": "navy tee"}
    found |= {"gallery": gallery, "rank": {"image": rank}}
    said: list[str] = [training_text(row, cfg.data.text) for row in rows]
    texts = VectorTable.load(inputs["embed"] / "text")
    row_of = {text: i for i, text in enumerate(texts.rows["text"].to_pylist())}
    asked = [i for i, text in enumerate(said) if text in row_of]
    if asked:
        vectors = np.asarray(texts.vectors[[row_of[said[i]] for i in asked]])
        chosen, rank = best(vectors, np.asarray(kept.vectors), target[asked])
        found |= {"text": said[asked[chosen]], "rank": {"image": found["rank"]["image"], "text": rank}}
    return found


def best(queries: np.ndarray, gallery: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """Return the first query whose SKU ranks best, and that rank: queries [Q, D], gallery [S, D], target [Q]."""
    from skufp.retrieval.metrics import ranks_in_blocks

    ranks = ranks_in_blocks(lambda q: q @ gallery.T, queries, target)
    return int(ranks.argmin()), int(ranks.min())


def try_next(example: dict[str, Any]) -> list[str]:
    """Return a photo search and a text search with this run's settings, ready to paste."""
    from hydra.core.hydra_config import HydraConfig

    task = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    left_out = ("stage=", "query.", *(["data.gallery="] if example.get("gallery") else []))
    settings = [o for o in task if not o.startswith(left_out)]
    if example.get("gallery"):
        settings.append(f"data.gallery=[{','.join(example['gallery'])}]")
    start = " ".join(["python -m skufp stage=search", *map(shlex.quote, settings)])
    text = example["text"]
    quoted = shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'  # the latter serves every shell
    by_vectors = "query.mode=vector"  # the text's rank is that of a search by vectors
    return [f"{start} --image {shlex.quote(example['image'])}", f"{start} {by_vectors} --text {quoted}"]
