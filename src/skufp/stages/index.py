"""stage=index: the fingerprints, or all views, of the gallery's splits become a FAISS index."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from omegaconf import DictConfig
from rich.console import Console

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.errors import UserError, nearest

VERSION = 2
FINGERPRINT, VIEWS = "fingerprint", "views"


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write index.faiss, skus.parquet (row = id) and encoder.json, which names the encoder that may query it."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks
    from skufp.retrieval.index import SkuIndex

    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    gallery = table.where(split=list(cfg.data.gallery))
    if not len(gallery):
        raise UserError(f"data.gallery={list(cfg.data.gallery)}: no SKU is in these splits; there are"
                        f" {', '.join(sorted(set(table.rows['split'].to_pylist())))}")  # fmt: skip
    vectors, sku_of_vector = choose_vectors(cfg, inputs, gallery)
    index = SkuIndex.build(vectors, cfg.index.kind, cfg.index.dims, sku_of_vector)
    warn_of_few(cfg, *vectors.shape)
    index.save(out)
    pq.write_table(gallery.rows, out / "skus.parquet")
    write_json(out / INDEX_MARKS, encoder_marks(inputs["retriever"] / "encoder"))


def choose_vectors(cfg: DictConfig, inputs: dict[str, Path], gallery: VectorTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors to index and each one's SKU number, its row in ``gallery``."""
    if cfg.index.vectors == FINGERPRINT:
        return gallery.vectors, np.arange(len(gallery))
    views = VectorTable.load(inputs["embed"]).where(split=list(cfg.data.gallery), domain=CATALOG)
    number, keys = SkuGroups.of(gallery).number, views.sku_keys()
    if set(keys) != set(number):
        raise RuntimeError(f"{len(set(keys))} SKUs have views but {len(number)} have fingerprints")
    return views.vectors, np.array([number[key] for key in keys])


def warn_of_few(cfg: DictConfig, vectors: int, dim: int) -> None:
    """Say that a quantiser learnt its centroids from fewer vectors than it should."""
    from skufp.retrieval.index import advised_vectors

    advised = advised_vectors(cfg.index.kind, cfg.index.dims or dim)
    if vectors < advised:
        Console(stderr=True).print(
            f"[yellow]warning:[/] index={cfg.index.name} learns its centroids from {vectors:,} vectors, where"
            f" {advised:,} are advised: recall may suffer. index=flat, index=int8 and index=rabitq learn none"
        )


def check(cfg: DictConfig) -> None:
    """Say what is wrong with the index's settings before anything runs."""
    from skufp.retrieval.index import FaissMissingError, check_kind

    if cfg.index.vectors not in (FINGERPRINT, VIEWS):
        hint = nearest(cfg.index.vectors, (FINGERPRINT, VIEWS))
        raise UserError(f"index.vectors={cfg.index.vectors}: there is no such choice.{hint}")
    if cfg.index.dims is not None and cfg.index.dims < 1:
        raise UserError(f"index.dims={cfg.index.dims}: keep at least one dimension, or all with index.dims=null")
    try:
        check_kind(cfg.index.kind, cfg.index.dims)
    except FaissMissingError as error:
        raise UserError(str(error)) from error
