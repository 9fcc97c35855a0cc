"""Further measurements of stage=evaluate: strata, item level, relevance, latency, smaller vectors."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.vectors import VectorTable
from skufp.retrieval.evaluation.methods import TIMED, TOP, Gallery, one_thread
from skufp.schema import Config

BLOCK = 256  # queries scored against all views at a time


def strata(
    methods: list[Any], queries: VectorTable, target: np.ndarray, gallery: Gallery, resamples: int, seed: int
) -> dict[str, Any]:
    """Return results by number of real views, occlusion, viewpoint and whether a sibling style is in the gallery."""
    from skufp.retrieval.comparison import by_stratum, view_count_stratum

    names = {
        "views": view_count_stratum(gallery.real_views[target]),
        "occlusion": queries.column("occlusion").astype(str),
        "viewpoint": queries.column("viewpoint").astype(str),
        "sibling_style_in_gallery": np.where(has_sibling(gallery)[target], "yes", "no"),
    }
    return {key: by_stratum(methods, stratum, target, resamples, seed) for key, stratum in names.items()}


def gain_of_generated(
    methods: list[Any], target: np.ndarray, gallery: Gallery, resamples: int, seed: int
) -> dict[str, Any]:
    """Return the gain by generated views: mean of all views minus mean of real views, by number of real views.

    Each of 1, 2-3, 4+ and all has the number of queries, the generated views per queried SKU, and the paired difference
    of each metric with its interval over SKUs. Empty if no generated view joined.
    """
    from skufp.retrieval.bootstrap import interval
    from skufp.retrieval.comparison import WITH_INTERVAL

    values = {m.name: m.values() for m in methods}
    if "mean_real" not in values:
        return {}
    gain = {k: values["mean"][k] - values["mean_real"][k] for k in WITH_INTERVAL}
    stratum = np.array(["1", "2-3", "4+"])[np.digitize(gallery.real_views[target], [2, 4])]
    added = gallery.groups.counts() - gallery.real_views
    result: dict[str, Any] = {}
    for name in [*sorted(set(stratum.tolist())), "all"]:
        own = (stratum == name) | (name == "all")
        result[name] = {"queries": int(own.sum()), "generated_views": float(added[np.unique(target[own])].mean())}
        result[name] |= {k: asdict(interval(g[own], target[own], resamples, seed)) for k, g in gain.items()}
    return result


def has_sibling(gallery: Gallery) -> np.ndarray:
    """Return [S] bool: the gallery has another SKU of the same pair, which differs only in style or category."""
    rows = gallery.fingerprints.rows
    pair = [f"{s}/{p}" for s, p in zip(rows["split"].to_pylist(), rows["pair_id"].to_pylist(), strict=True)]
    _, group, sizes = np.unique(pair, return_inverse=True, return_counts=True)
    return sizes[group] > 1


def item_level(queries: VectorTable, gallery: Gallery) -> dict[str, float]:
    """Return the official protocol's hit@k: any of the top-k real gallery items has the query's pair and style."""
    from skufp.retrieval.metrics import item_hits

    number: dict[tuple[Any, ...], int] = {}

    def style(table: VectorTable) -> np.ndarray:
        columns = (table.rows[c].to_pylist() for c in ("split", "pair_id", "style"))
        return np.array([number.setdefault(key, len(number)) for key in zip(*columns, strict=True)])

    items = gallery.views.take(np.flatnonzero(gallery.is_real))
    views, of_view, of_query = items.vectors, style(items), style(queries)
    found: dict[str, float] = {}
    for start in range(0, len(queries), BLOCK):
        part = slice(start, start + BLOCK)
        scores = np.asarray(queries.vectors[part]) @ views.T
        for name, hits in item_hits(scores, of_query[part, None] == of_view).items():
            found[name] = found.get(name, 0.0) + float(hits.sum())
    return {name: count / len(queries) for name, count in found.items()}


def relevance_of_similar(
    inputs: dict[str, Path], gallery: Gallery, means: np.ndarray, resamples: int, seed: int
) -> dict[str, Any]:
    """Return the relevance@5 of each SKU's nearest other SKUs, by fingerprint and by mean of views [S, D].

    Relevant are SKUs of equal category, of equal category and colour (by the SKU's own label, ignoring case), or of one
    design: same pair and category, so another colour. A kind without labels or relevant SKUs is left out.
    """
    from skufp.artifacts.products import read_products, same
    from skufp.data.captions import attributes_of
    from skufp.retrieval.relevance import relevance

    colours = {p.sku: attributes_of(p.fields).get("colour") for p in read_products(inputs["prepare"])}
    rows = gallery.fingerprints.rows.to_pylist()
    category = [same(row["category_name"]) or None for row in rows]
    colour = [colours.get((row["split"], row["sku_id"])) for row in rows]
    labels: dict[str, list[Any]] = {
        "category": category,
        "category_and_colour": [pair if all(pair) else None for pair in zip(category, colour, strict=True)],
        "style": [(row["split"], row["pair_id"], own) for row, own in zip(rows, category, strict=True)],
    }
    vectors = {"fingerprint": np.asarray(gallery.fingerprints.vectors), "mean": means}
    found = {name: relevance(vectors, label, resamples, seed) for name, label in labels.items()}
    return {name: row for name, row in found.items() if row}


def latency(inputs: dict[str, Path], queries: VectorTable, gallery: Gallery) -> dict[str, Any]:
    """Return encode and search times of single queries, warm, on one thread."""
    import torch

    from skufp.data.decode import open_prepared
    from skufp.modules.encoder_folder import load_encoder
    from skufp.retrieval.latency import percentiles

    encoder = load_encoder(inputs["retriever"] / "encoder")
    pictures = [open_prepared(inputs["prepare"] / p) for p in queries.rows["image_path"].to_pylist()[:20]]
    with one_thread(), torch.inference_mode():
        encode = percentiles(lambda p: encoder.encode_image(torch.from_numpy(encoder.preprocessing(p))[None]), pictures)
        search = percentiles(lambda q: gallery.index.search(q[None], TOP), np.asarray(queries.vectors[:TIMED]))
    return {"threads": 1, "device": "cpu", "encode": encode, "search": search, "index_bytes": gallery.index.nbytes}


def sizes(
    cfg: Config, gallery: Gallery, means: np.ndarray, queries: np.ndarray, target: np.ndarray
) -> list[dict[str, Any]]:
    """Return recall against bytes per SKU, for fingerprint and mean, with fewer dimensions and quantised."""
    from skufp.retrieval.compression import size_curve

    spec = cfg.stages.evaluate
    vectors = {"fingerprint": np.asarray(gallery.fingerprints.vectors), "mean": means}
    dims, kinds = list(spec.sizes.dims), list(spec.sizes.kinds)
    return size_curve(vectors, queries, target, dims, kinds, spec.bootstrap, cfg.seed)
