"""stage=index: the fingerprints of the gallery's splits become a FAISS index."""

from pathlib import Path

import pyarrow.parquet as pq
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError

VERSION = 1


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write index.faiss, skus.parquet (row = id) and encoder.json, which names the encoder that may query it."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks
    from skufp.retrieval.index import FaissMissingError, SkuIndex

    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    gallery = table.where(split=list(cfg.data.gallery))
    if not len(gallery):
        raise UserError(f"data.gallery={list(cfg.data.gallery)}: no SKU is in these splits; there are"
                        f" {', '.join(sorted(set(table.rows['split'].to_pylist())))}")  # fmt: skip
    try:
        SkuIndex.build(gallery.vectors, cfg.index.kind).save(out)
    except FaissMissingError as error:
        raise UserError(str(error)) from error
    pq.write_table(gallery.rows, out / "skus.parquet")
    write_json(out / INDEX_MARKS, encoder_marks(inputs["retriever"] / "encoder"))
