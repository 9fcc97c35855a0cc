"""The galleries of stage=actions, cross-fitted: no query is ranked among fingerprints that it helped to train."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from skufp.artifacts.folder import read_json
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.compute.progress import ProgressBar
from skufp.errors import UserError
from skufp.schema import Config
from skufp.stages.actions.photos import DEV, PARTS, TRAIN

if TYPE_CHECKING:
    from skufp.retrieval.answers import QueriedGallery

FINGERPRINTS = ("fingerprints.npy", "skus.parquet")


def galleries(
    cfg: Config, inputs: dict[str, Path], queries: pa.Table, out: Path
) -> tuple[list["QueriedGallery"], list["QueriedGallery"]]:
    """Return train's galleries, one per fold, then dev's and data.queries'.

    Train and dev queries are ranked among the SKUs of train and dev together: a fold's queries in fingerprints trained
    without them, dev's in the fingerprint stage's own. Queries of data.queries are ranked in data.gallery.
    """
    kept = VectorTable.load(inputs["fingerprint"], *FINGERPRINTS)
    count = cfg.stages.actions.folds
    made = fold_fingerprints(cfg, inputs, out) if learnt(inputs["fingerprint"]) else [kept] * count
    split, fold = (queries[name].to_numpy(zero_copy_only=False) for name in ("split", "fold"))
    folds = [queried(queries, (split == TRAIN) & (fold == k), made[k], (TRAIN, DEV)) for k in range(count)]
    dev = queried(queries, split == DEV, kept, (TRAIN, DEV))
    return folds, [dev, queried(queries, split == cfg.data.queries, kept, cfg.data.gallery)]


def learnt(folder: Path) -> bool:
    """Return whether a fingerprint stage's result depends on queries: it was trained, and the start was not kept."""
    proof = folder / "proof.json"
    kept = not proof.exists() or read_json(proof)["trained_is_kept"]
    return bool(kept and read_json(folder / "metrics.json")["steps"] > 0)


def fold_fingerprints(cfg: Config, inputs: dict[str, Path], out: Path) -> list[VectorTable]:
    """Train the fingerprint again without each fold's queries; finished folds are read."""
    from skufp.config import locate, plain
    from skufp.stages.fit.proof import fit_without

    spec, folds = plain(cfg.stages.fingerprint), cfg.stages.actions.folds
    folders = [out / PARTS / f"fold-{fold}" for fold in range(folds)]
    with ProgressBar(cfg, "fingerprints without a fold", folds) as advance:
        for fold, folder in enumerate(folders):
            if not folder.exists():
                module, data = fit_without(cfg, spec, {n: str(p) for n, p in inputs.items()}, (fold, folds))
                temporary = folder.with_suffix(".part")
                temporary.mkdir(parents=True, exist_ok=True)
                locate(spec["export"])(module.eval(), data, temporary)
                temporary.rename(folder)
            advance(1)
    return [VectorTable.load(folder, *FINGERPRINTS) for folder in folders]


def queried(queries: pa.Table, chosen: np.ndarray, table: VectorTable, splits: Sequence[str]) -> "QueriedGallery":
    """Return the gallery of ``splits`` with the ``chosen`` [N] queries; UserError where a SKU is not in it."""
    from skufp.retrieval.answers import QueriedGallery

    gallery, rows = table.where(split=list(splits)), np.flatnonzero(chosen)
    number = SkuGroups.of(gallery).number
    own = queries.take(pa.array(rows))
    keys = list(zip(own["split"].to_pylist(), own["sku_id"].to_pylist(), strict=True))
    if missing := sum(key not in number for key in keys):
        raise UserError(f"{missing} queries of split {keys[0][0]} have no SKU in the gallery, {', '.join(splits)}:"
                        " name their split in data.gallery")  # fmt: skip
    return QueriedGallery(
        np.array(gallery.vectors, np.float32), rows, np.array([number[key] for key in keys], np.int64)
    )
