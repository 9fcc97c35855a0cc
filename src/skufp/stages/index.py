"""stage=index: builds a FAISS index of the fingerprints, or of all views, of the gallery's splits."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, read_records
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.errors import UserError, nearest
from skufp.output import warn
from skufp.schema import Config

VERSION = 2
FINGERPRINT, VIEWS = "fingerprint", "views"
NOTHING_TO_LEARN = ("mean", "trimmed_mean", "medoid")  # aggregators


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
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


def choose_vectors(cfg: Config, inputs: dict[str, Path], gallery: VectorTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors to index and each one's SKU number, its row in ``gallery``."""
    if cfg.index.vectors == FINGERPRINT:
        return gallery.vectors, np.arange(len(gallery))
    splits = sorted(set(gallery.rows["split"].to_pylist()))
    views = VectorTable.load(inputs["embed"]).where(split=splits, domain=CATALOG)
    number, keys = SkuGroups.of(gallery).number, views.sku_keys()
    if set(keys) != set(number):
        raise RuntimeError(f"{len(set(keys))} SKUs have views but {len(number)} have fingerprints")
    return views.vectors, np.array([number[key] for key in keys])


def warn_of_few(cfg: Config, vectors: int, dim: int) -> None:
    """Warn where a quantiser is trained on fewer vectors than faiss recommends."""
    from skufp.retrieval.faiss_kinds import advised_vectors

    advised = advised_vectors(cfg.index.kind, cfg.index.dims or dim)
    if vectors < advised:
        warn(
            f"index={cfg.index.name} learns its centroids from {vectors:,} vectors, where"
            f" {advised:,} are advised: recall may suffer. index=flat, index=int8 and index=rabitq have none"
        )


def check(cfg: Config) -> None:
    """Raise UserError for invalid settings of the index before anything runs."""
    from skufp.retrieval.faiss_kinds import FaissMissingError, check_kind

    if cfg.index.vectors not in (FINGERPRINT, VIEWS):
        hint = nearest(cfg.index.vectors, (FINGERPRINT, VIEWS))
        raise UserError(f"index.vectors={cfg.index.vectors}: there is no such choice.{hint}")
    if cfg.index.dims is not None and cfg.index.dims < 1:
        raise UserError(f"index.dims={cfg.index.dims}: keep at least one dimension, or all with index.dims=null")
    if cfg.stage == "index" and cfg.export_to:  # with stage=bundle the folder is not for this stage
        check_export(cfg)
    try:
        check_kind(cfg.index.kind, cfg.index.dims)
    except FaissMissingError as error:
        raise UserError(str(error)) from error


def check_export(cfg: Config) -> None:
    """Raise UserError for laying out any but the exact index, or laying it out among the photos."""
    if cfg.index.name != "flat" or cfg.index.dims is not None:
        raise UserError(
            f"export_to={cfg.export_to} lays out whole vectors and an exact IndexFlatIP, not index={cfg.index.name}"
            f" with index.dims={cfg.index.dims}: leave these out"
        )
    if cfg.data.root and Path(str(cfg.export_to)).resolve().is_relative_to(Path(cfg.data.root).resolve()):
        raise UserError(
            f"export_to={cfg.export_to} lies in data.root={cfg.data.root}, where it would change the data:"
            " choose another folder"
        )


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the number of products and, if nothing was trained, a note on it."""
    skus = pq.read_metadata(folder / "skus.parquet").num_rows
    console.print(f"{skus:,} products in {folder / 'index.faiss'}", soft_wrap=True)
    if cfg.model.training.steps == 0 and cfg.aggregator.name in NOTHING_TO_LEARN:
        console.print(
            f"nothing was trained: model={cfg.model.name} is used as it comes (model.training.steps=0), and a product's"
            f" vector is the {cfg.aggregator.name} of its photos' vectors", soft_wrap=True,
        )  # fmt: skip


def lay_out(cfg: Config, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
    """Write the files of skufp.search_similar to ``target``: a row per product, by the name of its first photo."""
    from skufp.serve.similar import write_similar

    check_export(cfg)  # a finished stage is not checked
    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    gallery = table.where(split=list(cfg.data.gallery))
    first = first_photos(inputs["prepare"], list(cfg.data.gallery))
    names = [first[key] for key in gallery.sku_keys()]
    order = np.array(sorted(range(len(names)), key=names.__getitem__))
    write_similar(target, gallery.vectors[order], [names[i] for i in order], inputs["retriever"] / "encoder")
    report = inputs["prepare"] / "report.json"
    lines = [f"laid out in {target}: embeddings.npy, filenames.json, faiss_index.bin"]
    lines += [f"  left out {n} x {why}: see {report}" for why, n in read_json(report)["skipped_by_reason"].items()]
    photo = str(Path(cfg.data.root) / names[0]) if cfg.data.root else "photo.jpg"
    lines.append(f"in Python: from skufp import search_similar; search_similar({photo!r}, index={str(target)!r})")
    console.print("\n".join(lines), soft_wrap=True)


def first_photos(prepared: Path, splits: list[str]) -> dict[tuple[str, str], str]:
    """Return every SKU's first catalogue photo by name, relative to the source's root."""
    found: dict[tuple[str, str], str] = {}
    for split in splits:
        path = prepared / f"{split}_image_text.jsonl"
        for record in read_records(path) if path.exists() else []:
            if record.domain == CATALOG:
                found[record.sku] = min(found.get(record.sku, record.orig_image_path), record.orig_image_path)
    return found
