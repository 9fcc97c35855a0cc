"""stage=evaluate: fingerprints, mean of views and multi-vector on one gallery with one query set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, QUERY
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.errors import UserError
from skufp.stages.evaluate_report import example_search, try_next, write_report
from skufp.stages.evaluate_table import tables

VERSION = 1
FLOAT = 4


@dataclass
class Gallery:
    """What queries are ranked over: the same SKUs, in the same order, for every method."""

    views: VectorTable
    groups: SkuGroups
    fingerprints: VectorTable
    index: Any  # SkuIndex

    @property
    def size(self) -> int:
        """Number of SKUs."""
        return len(self.groups.keys)


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write metrics.json, ranks.parquet and report.html."""
    table = VectorTable.load(inputs["embed"])
    gallery = load_gallery(cfg, inputs, table)
    queries, target = load_queries(cfg, table, gallery)
    methods = rank_all(gallery, np.asarray(queries.vectors), target)
    spec = cfg.stages.evaluate
    names = {part: str(cfg[part].name) for part in ("data", "model", "aggregator", "index")}
    metrics: dict[str, Any] = {
        "run": names | {"ablation": str(cfg.ablation), "seed": int(cfg.seed)},
        "gallery": {"splits": list(cfg.data.gallery), "skus": gallery.size, "views": len(gallery.views)},
        "queries": {"split": cfg.data.queries, "images": len(queries), "skus": len(np.unique(target))},
        "image": _compared(methods, target, spec.bootstrap, cfg.seed),
        "strata": strata(methods, queries, target, gallery),
        "item_level": item_level(queries, gallery),
        "latency": latency(cfg, inputs, queries, gallery),
        "try_next": example_search(inputs, queries),
    }
    texts, text_target = text_queries(inputs, queries, target)
    text_methods = rank_all(gallery, np.asarray(texts.vectors), text_target) if len(texts) else []
    metrics["queries"] |= {"texts": len(texts), "distinct_texts": len(set(texts.rows["text"].to_pylist()))}
    metrics["text"] = _compared(text_methods, text_target, spec.bootstrap, cfg.seed) if len(texts) else {}
    write_json(out / "metrics.json", metrics)
    _write_ranks(out, methods, queries, target, gallery)
    write_report(cfg, inputs, out, metrics, methods, queries, target, gallery)


def load_gallery(cfg: DictConfig, inputs: dict[str, Path], table: VectorTable) -> Gallery:
    """Read views, fingerprints and index of the gallery's splits and check that they hold the same SKUs."""
    from skufp.retrieval.index import SkuIndex

    fingerprints = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    fingerprints = fingerprints.where(split=list(cfg.data.gallery))
    views = table.where(split=list(cfg.data.gallery), domain=CATALOG)
    groups = SkuGroups.of(fingerprints)
    number = groups.number
    keys = views.sku_keys()
    if set(keys) != set(number):
        raise RuntimeError(f"{len(set(keys))} SKUs have views but {len(number)} have fingerprints")
    of_view = np.array([number[key] for key in keys])
    return Gallery(views, SkuGroups(groups.keys, of_view), fingerprints, SkuIndex.load(inputs["index"]))


def load_queries(cfg: DictConfig, table: VectorTable, gallery: Gallery) -> tuple[VectorTable, np.ndarray]:
    """Return the query rows and each one's SKU number."""
    queries = table.where(split=cfg.data.queries, domain=QUERY)
    if not len(queries):
        raise UserError(
            f"split '{cfg.data.queries}' of data={cfg.data.name} has no user photos: nothing to measure.\n"
            "Mark rows of the manifest with domain=query, or go on to: python -m skufp stage=search --image photo.jpg"
        )
    number = gallery.groups.number
    keys = queries.sku_keys()
    missing = [key for key in keys if key not in number]
    if missing:
        raise UserError(
            f"{len(missing)} queries of split {cfg.data.queries} have no SKU in data.gallery={list(cfg.data.gallery)}"
        )
    return queries, np.array([number[key] for key in keys])


def rank_all(gallery: Gallery, queries: np.ndarray, target: np.ndarray) -> list[Any]:
    """Return the ranks of multi-vector, mean and fingerprint; the fingerprint's come out of the FAISS index."""
    from skufp.retrieval.comparison import Method
    from skufp.retrieval.index import SkuIndex
    from skufp.retrieval.latency import percentiles
    from skufp.retrieval.metrics import ranks_of_target
    from skufp.retrieval.representations import mean_of_views, multi_vector_scores

    views = np.asarray(gallery.views.vectors)
    of_view = gallery.groups.of_row
    means = mean_of_views(views, of_view, gallery.size)
    view_index, mean_index = SkuIndex.build(views), SkuIndex.build(means)
    multi = ranks_of_target(multi_vector_scores(queries, views, of_view, gallery.size), target)
    mean = ranks_of_target(queries @ means.T, target)
    bytes_per_vector = FLOAT * views.shape[1]
    per_sku = len(views) / gallery.size

    def search(index: SkuIndex) -> dict[str, float]:
        return percentiles(lambda q: index.search(q[None], 20), queries[:200])

    index_bytes = gallery.index.nbytes / gallery.size
    return [
        Method("multi_vector", multi, per_sku, per_sku * bytes_per_vector, search(view_index)),
        Method("mean", mean, 1.0, float(bytes_per_vector), search(mean_index)),
        Method(
            "fingerprint",
            ranks_from_index(gallery.index, queries, target),
            1.0,
            index_bytes,
            search(gallery.index),
        ),
    ]


def ranks_from_index(index: Any, queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank of each query's SKU in what the index answers; equal scores count against us."""
    scores, ids = index.search(queries, len(index))
    place = (ids == target[:, None]).argmax(axis=1)
    own = scores[np.arange(len(scores)), place]
    return (scores >= own[:, None]).sum(axis=1)


def _compared(methods: list[Any], target: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    from skufp.retrieval.comparison import compare

    return compare(methods, target, resamples, seed)


def strata(methods: list[Any], queries: VectorTable, target: np.ndarray, gallery: Gallery) -> dict[str, Any]:
    """Return results by number of views, occlusion, viewpoint and whether a sibling style is in the gallery."""
    from skufp.retrieval.comparison import by_stratum, view_count_stratum

    pair = gallery.fingerprints.column("pair_id")
    split = np.array(gallery.fingerprints.rows["split"].to_pylist())
    _, group, sizes = np.unique(
        [f"{s}/{p}" for s, p in zip(split, pair, strict=True)], return_inverse=True, return_counts=True
    )
    sibling = np.where(sizes[group][target] > 1, "yes", "no")
    return {
        "views": by_stratum(methods, view_count_stratum(gallery.groups.counts()[target])),
        "occlusion": by_stratum(methods, queries.column("occlusion").astype(str)),
        "viewpoint": by_stratum(methods, queries.column("viewpoint").astype(str)),
        "sibling_style_in_gallery": by_stratum(methods, sibling),
    }


def item_level(queries: VectorTable, gallery: Gallery) -> dict[str, float]:
    """Return the official protocol's hit@k: any of the top-k gallery items shares pair and style."""
    from skufp.retrieval.metrics import item_hits

    def keys(table: VectorTable) -> np.ndarray:
        columns = (table.rows[c].to_pylist() for c in ("split", "pair_id", "style"))
        return np.array(["/".join(map(str, row)) for row in zip(*columns, strict=True)])

    scores = np.asarray(queries.vectors) @ np.asarray(gallery.views.vectors).T
    hits = item_hits(scores, keys(queries)[:, None] == keys(gallery.views)[None, :])
    return {name: float(v.mean()) for name, v in hits.items()}


def latency(cfg: DictConfig, inputs: dict[str, Path], queries: VectorTable, gallery: Gallery) -> dict[str, Any]:
    """Return encode and search times of single queries, warm, on one thread."""
    import torch

    from skufp.data.crops import open_image
    from skufp.modules.encoder_folder import load_encoder
    from skufp.retrieval.index import set_threads
    from skufp.retrieval.latency import percentiles

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(1)
    encoder = load_encoder(inputs["retriever"] / "encoder")
    pictures = [open_image(inputs["prepare"] / p) for p in queries.rows["image_path"].to_pylist()[:20]]
    with torch.inference_mode():
        encode = percentiles(lambda p: encoder.encode_image(torch.from_numpy(encoder.preprocessing(p))[None]), pictures)
    search = percentiles(lambda q: gallery.index.search(q[None], 20), np.asarray(queries.vectors[:200]))
    torch.set_num_threads(threads)
    set_threads(threads)
    return {
        "threads": 1,
        "device": "cpu",
        "encode": encode,
        "search": search,
        "index_bytes": gallery.index.nbytes,
    }


def text_queries(inputs: dict[str, Path], queries: VectorTable, target: np.ndarray) -> tuple[VectorTable, np.ndarray]:
    """Return one text query per (SKU, text of one of its query photos) and each one's SKU number."""
    table = VectorTable.load(inputs["embed"] / "text")
    row_of = {text: i for i, text in enumerate(table.rows["text"].to_pylist())}
    pairs = sorted({(int(t), text) for t, text in zip(target, queries.rows["text"].to_pylist(), strict=True) if text})
    return table.take(np.array([row_of[text] for _, text in pairs], np.int64)), np.array(
        [t for t, _ in pairs], np.int64
    )


def _write_ranks(out: Path, methods: list[Any], queries: VectorTable, target: np.ndarray, gallery: Gallery) -> None:
    columns = {c: queries.rows[c] for c in ("split", "sku_id", "view_id", "image_path", "occlusion", "viewpoint")}
    columns |= {"views": pa.array(gallery.groups.counts()[target])}
    columns |= {f"rank_{m.name}": pa.array(m.ranks) for m in methods}
    pq.write_table(pa.table(columns), out / "ranks.parquet")


def show(cfg: DictConfig, folder: Path, console: Console) -> None:
    """Print the result table and what to try next."""
    metrics = read_json(folder / "metrics.json")
    for kind in ("image", "text"):
        if metrics[kind]:
            console.print(*tables(kind, metrics))
    encode, search = metrics["latency"]["encode"], metrics["latency"]["search"]
    console.print(
        f"one query, one CPU thread: encode {encode['p50_ms']:.1f} ms, search {search['p50_ms']:.3f} ms (medians)"
    )
    console.print(f"report: {(folder / 'report.html').resolve()}\n", soft_wrap=True)
    console.print("Try next (quotes as shown):")
    for line in try_next(metrics["try_next"]):
        console.print(f"  {line}", soft_wrap=True, style="bold")
