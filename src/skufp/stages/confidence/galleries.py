"""The galleries that stage=confidence asks: SKUs in the run's form of index."""

from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.vectors import VectorTable, design_numbers
from skufp.errors import UserError
from skufp.output import warn
from skufp.retrieval.confidence.asking import Gallery
from skufp.schema import Config


def learning_gallery(cfg: Config, fingerprints: VectorTable) -> VectorTable:
    """Return the fingerprints of the calibrating split and of train; all of them where the split has no product."""
    table = fingerprints.where(split=list(dict.fromkeys(["train", str(cfg.stages.confidence.queries)])))
    return table if len(table.where(split=str(cfg.stages.confidence.queries))) else fingerprints


def served_gallery(inputs: dict[str, Path], table: VectorTable) -> Gallery:
    """Return the gallery of a search: the index of stage=index, with its SKUs' fingerprints in ``table``."""
    from skufp.retrieval.index import SkuIndex

    return Gallery(SkuIndex.load(inputs["index"]), np.asarray(table.vectors), design_numbers(table.rows))


def gallery_of(cfg: Config, inputs: dict[str, Path], table: VectorTable) -> Gallery:
    """Return a gallery of the fingerprints, or views, of ``table``."""
    from skufp.stages.index import choose_vectors

    index = index_of(cfg, *choose_vectors(cfg, inputs, table))
    return Gallery(index, np.asarray(table.vectors), design_numbers(table.rows))


def index_of(cfg: Config, vectors: np.ndarray, sku_of_vector: np.ndarray | None = None) -> Any:
    """Return an index of ``vectors`` [N, D] in the run's form; an exact one where the form cannot learn from so few."""
    from skufp.retrieval.index import SkuIndex

    try:
        return SkuIndex.build(vectors, cfg.index.kind, cfg.index.dims, sku_of_vector)
    except UserError as error:
        warn(f"confidence is calibrated with exact search: {error}")
        return SkuIndex.build(vectors, "Flat", cfg.index.dims, sku_of_vector)
