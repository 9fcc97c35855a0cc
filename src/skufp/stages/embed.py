"""stage=embed: vectors of every crop, every text and every generated view that joins."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.artifacts.views import COUNTERFACTUAL, COUNTERFACTUAL_FILE, FILE, ViewRow, read_views
from skufp.compute.device import autocast, device, in_batches, set_threads
from skufp.compute.progress import ProgressBar, worker_count
from skufp.errors import UserError, nearest
from skufp.output import warn
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.data.shards import SkuSample
    from skufp.models.batches import SkuMeta
    from skufp.models.dual_encoder import Encoder

VERSION = 4
SPLITS = ("train", "dev", "validation", "test")
COLUMNS = ("split", "sku_id", "view_id", "domain", "pool", "pair_id", "style", "category_id", "category_name",
           "occlusion", "viewpoint", "zoom_in", "scale", "image_path", "text", "rich_text")  # fmt: skip
Records = dict[str, list[CropRecord]]
Negatives = Mapping[tuple[str, str], np.ndarray]  # vectors [N, D] by SKU


def check(cfg: Config) -> None:
    """Raise UserError for an invalid mix of views before anything runs."""
    from skufp.data.view_mix import TAKES

    if cfg.views.name == "none":
        return
    if cfg.views.take not in TAKES:
        raise UserError(f"views.take={cfg.views.take}: there is no such choice.{nearest(str(cfg.views.take), TAKES)}")
    if not cfg.views.mix.cap > 0 or cfg.views.mix.views < 2:
        raise UserError(
            f"views.mix.cap={cfg.views.mix.cap} views.mix.views={cfg.views.mix.views}: no view could join. Give a cap"
            " above 0 and 2 views or more, or write views=none"
        )


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write vectors.npy + rows.parquet, text/ (the same for texts) and shards/<split>-sku-*.tar.

    The rows of generated views that join, ``generated``, follow all real rows; their image_path is their source's.
    Counterfactuals are only in the SKU shards, as negatives.
    """
    from skufp.modules.encoder_folder import load_encoder

    set_threads(cfg)
    prepared = inputs["prepare"]
    encoder = load_encoder(inputs["retriever"] / "encoder").to(device(cfg))
    records = {s: read_records(p) for s in SPLITS if (p := prepared / f"{s}_image_text.jsonl").exists()}
    vectors = [encode_split(cfg, encoder, prepared, split, rows) for split, rows in records.items()]
    table = VectorTable(np.concatenate(vectors), _rows(records))
    negatives: Negatives = {}
    if "views" in inputs:
        made = generated_views(cfg, encoder, inputs["views"], records, table.rows.schema)
        table = VectorTable(np.concatenate([table.vectors, made.vectors]), pa.concat_tables([table.rows, made.rows]))
        negatives = encode_counterfactuals(cfg, encoder, inputs["views"])
        report_views(out, table, negatives, inputs["views"])
    table.save(out)
    encode_texts(cfg, encoder, records).save(out / "text")
    write_sku_shards(out, table, cfg.data.shard_size, negatives)


def encode_split(cfg: Config, encoder: "Encoder", prepared: Path, split: str, records: list[CropRecord]) -> np.ndarray:
    """Return [N, D] in the order of ``records``; every row is encoded exactly once."""
    import torch

    from skufp.data.full_pass import full_pass

    found = np.zeros(len(records), np.int64)
    vectors = np.zeros((len(records), encoder.dim), np.float32)
    names = [f"{split}-{CATALOG}", f"{split}-{QUERY}"]
    loader = full_pass(prepared / "shards", names, encoder.preprocessing, cfg.model.batch_size, worker_count(cfg))
    with (
        ProgressBar(cfg, f"embedding {split}", len(records)) as advance,
        torch.inference_mode(),
        autocast(cfg),
    ):
        for batch in loader:
            encoded = encoder.encode_image(batch["pixels"].to(device(cfg))).float().cpu().numpy()
            rows = batch["row"].numpy()
            vectors[rows] = encoded
            found[rows] += 1
            advance(len(rows))
    if not (found == 1).all():
        raise RuntimeError(f"{split}: {int((found != 1).sum())} of {len(found)} rows were not seen exactly once")
    return vectors


def generated_views(cfg: Config, encoder: "Encoder", folder: Path, records: Records, schema: pa.Schema) -> VectorTable:
    """Return the generated views that join, by ``cfg.views``, from the views stage's ``folder``; rows by ``schema``."""
    from skufp.data.view_mix import choose_views

    mix, photos = cfg.views.mix, [r for rows in records.values() for r in rows if r.domain == CATALOG]
    chosen = choose_views(read_views(folder / FILE), Counter(r.sku for r in photos), cfg.views.take, mix.cap, mix.views)
    source = {(*r.sku, r.view_id): r for r in photos}
    rows = [_made_row(row, source[(*row.sku, row.source_view)]) for row in chosen]
    names = [f"{split}-{cfg.views.take}" for split in records]
    return VectorTable(encode_made(cfg, encoder, folder, names, chosen), pa.Table.from_pylist(rows, schema=schema))


def encode_counterfactuals(cfg: Config, encoder: "Encoder", folder: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return the vectors [N, D] of every SKU's kept counterfactuals, in the order of their ids."""
    rows = sorted((r for r in read_views(folder / COUNTERFACTUAL_FILE) if r.kept), key=lambda r: (*r.sku, r.view_id))
    names = [f"{split}-{COUNTERFACTUAL}" for split in SPLITS]
    vectors = encode_made(cfg, encoder, folder, names, rows)
    numbers: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        numbers.setdefault(row.sku, []).append(i)
    return {sku: vectors[own] for sku, own in numbers.items()}


def encode_made(cfg: Config, encoder: "Encoder", folder: Path, names: list[str], rows: list[ViewRow]) -> np.ndarray:
    """Return [N, D]: the pictures of ``rows`` from the shards ``names``, in the order of ``rows``."""
    import torch
    from PIL import Image

    from skufp.data.shards import shard_files
    from skufp.data.view_shards import read_view_shards

    number = {(*row.sku, row.view_id): i for i, row in enumerate(rows)}
    found, vectors = np.zeros(len(rows), np.int64), np.zeros((len(rows), encoder.dim), np.float32)
    files = [file for name in names for file in shard_files(folder / "shards", name)]
    wanted = ((i, p) for r, p in read_view_shards(files) if (i := number.get((*r.sku, r.view_id))) is not None)
    with ProgressBar(cfg, "embedding generated views", len(rows)) as advance, torch.inference_mode(), autocast(cfg):
        for batch in in_batches(wanted, cfg.model.batch_size):
            own = [i for i, _ in batch]
            pixels = np.stack([encoder.preprocessing(Image.fromarray(picture)) for _, picture in batch])
            vectors[own] = encoder.encode_image(torch.from_numpy(pixels).to(device(cfg))).float().cpu().numpy()
            np.add.at(found, own, 1)
            advance(len(own))
    if not (found == 1).all():
        raise RuntimeError(f"{folder}: {int((found != 1).sum())} of {len(found)} pictures are not in the shards once")
    return vectors


def report_views(out: Path, table: VectorTable, negatives: Negatives, folder: Path) -> None:
    """Write generated.json: each split's real and generated views and counterfactuals; warn if no view joined."""
    rows = table.where(domain=CATALOG).rows
    counts = Counter(zip(rows["split"].to_pylist(), rows["generated"].to_pylist(), strict=True))
    report = {
        split: {
            "real": counts[split, False], "generated": counts[split, True],
            "counterfactuals": sum(len(v) for (own, _), v in negatives.items() if own == split),
        }
        for split in dict.fromkeys(rows["split"].to_pylist())
    }  # fmt: skip
    write_json(out / "generated.json", report)
    if not any(row["generated"] for row in report.values()):
        warn(
            f"no generated view joins: {folder / FILE} keeps none, or the SKUs already have"
            " views.mix.views of them. The results are those of views=none"
        )


def encode_texts(cfg: Config, encoder: "Encoder", records: Records) -> VectorTable:
    """Return one vector for every distinct text, templates and rich captions alike."""
    import torch

    from skufp.models.text_vectors import text_vectors

    texts = sorted({t for rows in records.values() for r in rows for t in (r.text, r.rich_text) if t})
    with torch.inference_mode(), autocast(cfg):
        vectors = text_vectors(encoder, texts, cfg.model.batch_size)
    return VectorTable(vectors, pa.table({"text": pa.array(texts, pa.string())}))


def _rows(records: Records) -> pa.Table:
    return pa.Table.from_pylist([_row(record) for part in records.values() for record in part])


def _row(record: CropRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in COLUMNS} | {"generated": False}


def _made_row(made: ViewRow, source: CropRecord) -> dict[str, Any]:
    own = ("view_id", "occlusion", "viewpoint", "zoom_in", "text")
    return _row(source) | {name: getattr(made, name) for name in own} | {"generated": True}


def write_sku_shards(out: Path, table: VectorTable, shard_size: int, negatives: Negatives) -> None:
    """Write one sample per SKU: its views, its queries and their metadata."""
    from skufp.data.shards import INDEX
    from skufp.data.shards import write_sku_shards as write

    folder = out / "shards"
    folder.mkdir(exist_ok=True)
    index = {}
    for split in sorted(set(table.rows["split"].to_pylist())):
        samples = _sku_samples(table.where(split=split), negatives)
        index[f"{split}-sku"] = write(folder, split, samples, shard_size)
    write_json(folder / INDEX, index)


def _sku_samples(table: VectorTable, negatives: Negatives) -> "list[SkuSample]":
    members: dict[str, dict[str, list[int]]] = {}
    rows = table.rows.to_pylist()
    for i, row in enumerate(rows):
        members.setdefault(row["sku_id"], {CATALOG: [], QUERY: []})[row["domain"]].append(i)
    samples = []
    for own in members.values():
        first = rows[own[CATALOG][0]]
        meta: SkuMeta = {
            "split": first["split"], "sku_id": first["sku_id"], "pair_id": first["pair_id"], "style": first["style"],
            "category_id": first["category_id"], "category_name": first["category_name"],
            "view_ids": [rows[i]["view_id"] for i in own[CATALOG]],
            "viewpoint": [int(rows[i]["viewpoint"]) for i in own[CATALOG]],
            "occlusion": [int(rows[i]["occlusion"]) for i in own[CATALOG]],
            "zoom_in": [int(rows[i]["zoom_in"]) for i in own[CATALOG]],
            "generated": [int(rows[i]["generated"]) for i in own[CATALOG]],
            "query_ids": [rows[i]["view_id"] for i in own[QUERY]],
            "pools": [rows[i]["pool"] for i in own[QUERY]],
        }  # fmt: skip
        sample: SkuSample = {"views": table.vectors[own[CATALOG]], "queries": table.vectors[own[QUERY]], "meta": meta}
        drawn = negatives.get((first["split"], first["sku_id"]))
        samples.append(sample if drawn is None else {**sample, "negatives": drawn})
    return samples
