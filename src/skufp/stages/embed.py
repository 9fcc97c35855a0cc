"""stage=embed: every crop and every text through the encoder, once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.stages.device import autocast, device, set_threads
from skufp.stages.progress import ProgressBar, worker_count

VERSION = 2
SPLITS = ("train", "dev", "validation", "test")


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write vectors.npy + rows.parquet, text/ (the same for texts) and shards/<split>-sku-*.tar."""
    from skufp.modules.encoder_folder import load_encoder

    set_threads(cfg)
    prepared = inputs["prepare"]
    encoder = load_encoder(inputs["retriever"] / "encoder").to(device(cfg))
    records = {s: read_records(p) for s in SPLITS if (p := prepared / f"{s}_image_text.jsonl").exists()}
    vectors = [encode_split(cfg, encoder, prepared, split, rows) for split, rows in records.items()]
    table = VectorTable(np.concatenate(vectors), _rows(records))
    table.save(out)
    encode_texts(cfg, encoder, records).save(out / "text")
    write_sku_shards(out, table, cfg.data.shard_size)


def encode_split(cfg: DictConfig, encoder: Any, prepared: Path, split: str, records: list[CropRecord]) -> np.ndarray:
    """Return [N, D] in the order of ``records``; every row is seen exactly once."""
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


def encode_texts(cfg: DictConfig, encoder: Any, records: dict[str, list[CropRecord]]) -> VectorTable:
    """Return one vector for every distinct text."""
    import torch

    texts = sorted({r.text for rows in records.values() for r in rows if r.text})
    size = cfg.model.batch_size
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    vectors = [np.zeros((0, encoder.dim), np.float32)]
    with torch.inference_mode(), autocast(cfg):
        vectors += [encoder.encode_text(part).float().cpu().numpy() for part in parts]
    return VectorTable(np.concatenate(vectors), pa.table({"text": pa.array(texts, pa.string())}))


def _rows(records: dict[str, list[CropRecord]]) -> pa.Table:
    names = ("split", "sku_id", "view_id", "domain", "pool", "pair_id", "style", "category_id", "category_name",
             "occlusion", "viewpoint", "zoom_in", "scale", "image_path", "text")  # fmt: skip
    rows = [{n: getattr(r, n) for n in names} | {"generated": False} for part in records.values() for r in part]
    return pa.Table.from_pylist(rows)


def write_sku_shards(out: Path, table: VectorTable, shard_size: int) -> None:
    """Write one sample per SKU: its views, its queries and what the fingerprint stage must know of them."""
    from skufp.data.shards import INDEX
    from skufp.data.shards import write_sku_shards as write

    folder = out / "shards"
    folder.mkdir(exist_ok=True)
    index = {}
    for split in sorted(set(table.rows["split"].to_pylist())):
        samples = _sku_samples(table.where(split=split))
        index[f"{split}-sku"] = write(folder, split, samples, shard_size)
    write_json(folder / INDEX, index)


def _sku_samples(table: VectorTable) -> list[dict[str, Any]]:
    members: dict[str, dict[str, list[int]]] = {}
    rows = table.rows.to_pylist()
    for i, row in enumerate(rows):
        members.setdefault(row["sku_id"], {CATALOG: [], QUERY: []})[row["domain"]].append(i)
    samples = []
    for own in members.values():
        first = rows[own[CATALOG][0]]
        meta: dict[str, Any] = {
            c: first[c] for c in ("split", "sku_id", "pair_id", "style", "category_id", "category_name")
        }
        meta["view_ids"] = [rows[i]["view_id"] for i in own[CATALOG]]
        for column in ("viewpoint", "occlusion", "zoom_in", "generated"):
            meta[column] = [int(rows[i][column]) for i in own[CATALOG]]
        meta["query_ids"] = [rows[i]["view_id"] for i in own[QUERY]]
        meta["pools"] = [rows[i]["pool"] for i in own[QUERY]]
        samples.append({"views": table.vectors[own[CATALOG]], "queries": table.vectors[own[QUERY]], "meta": meta})
    return samples
