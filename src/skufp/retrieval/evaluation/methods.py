"""The methods that stage=evaluate compares: representations of SKUs, every query's rank, and search times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.retrieval.ranks import Index

# In the order of the tables: the key in metrics.json and the name that a reader sees.
LABELS = {
    "first_view": "first view",
    "best_view_semi_oracle": "best view (semi)",
    "best_view_oracle": "best view (oracle)",
    "medoid": "medoid",
    "mean": "mean",
    "trimmed_mean": "trimmed mean",
    "gem": "GeM",
    "attention_no_distill": "attention, plain",
    "two_prototypes": "two prototypes",
    "fde": "MUVERA FDE",
    "multi_vector": "multi-vector",
    "fingerprint": "fingerprint",
}
# Below the others, and only if generated views joined: the same methods without them.
ONLY_REAL = {"mean_real": "mean, real views", "multi_vector_real": "multi-vector, real"}
TIMED = 200  # queries that a search is timed with
TOP = 20


@dataclass
class Gallery:
    """The gallery: the same SKUs, in the same order, for every method."""

    views: VectorTable
    groups: SkuGroups
    fingerprints: VectorTable
    index: Index

    @property
    def size(self) -> int:
        """Number of SKUs."""
        return len(self.groups.keys)

    @property
    def is_real(self) -> np.ndarray:
        """[N] bool: the views that are photos, not generated."""
        return ~self.views.column("generated").astype(bool)

    @property
    def real_views(self) -> np.ndarray:
        """[S]: each SKU's number of real views."""
        return np.bincount(self.groups.of_row[self.is_real], minlength=self.size)


def keep_skus(
    gallery: Gallery, planes: int, repetitions: int, seed: int, plain_attention: Path | None = None
) -> list[Any]:
    """Return the Representations that need no query.

    All baselines of all views; plain attention if the folder of its stage is given; ONLY_REAL if generated views
    joined. ``planes`` and ``repetitions`` are those of MUVERA.
    """
    from skufp.retrieval.baselines import Representation, baselines

    views = np.asarray(gallery.views.vectors)
    kept = baselines(views, gallery.groups.of_row, planes, repetitions, seed)
    if plain_attention is not None:
        vectors = fingerprints_of(gallery.groups, plain_attention)
        kept.append(Representation("attention_no_distill", vectors, gallery.size))
    return kept + only_real(gallery)


def only_real(gallery: Gallery) -> list[Any]:
    """Return ONLY_REAL's Representations; none where every view is real."""
    from skufp.retrieval.baselines import Representation
    from skufp.retrieval.representations import mean_of_views

    if gallery.is_real.all():
        return []
    views, of_view = np.asarray(gallery.views.vectors)[gallery.is_real], gallery.groups.of_row[gallery.is_real]
    mean = Representation("mean_real", mean_of_views(views, of_view, gallery.size), gallery.size)
    return [mean, Representation("multi_vector_real", views, gallery.size, of_view)]


def fingerprints_of(groups: SkuGroups, folder: Path) -> np.ndarray:
    """Return [S, D]: the fingerprints in ``folder`` of the SKUs ``groups``, in their order."""
    table = VectorTable.load(folder, "fingerprints.npy", "skus.parquet")
    row = {key: i for i, key in enumerate(table.sku_keys())}
    missing = [key for key in groups.keys if key not in row]
    if missing:
        raise RuntimeError(f"{len(missing)} SKUs of the gallery have no fingerprint in {folder}, e.g. {missing[0]}")
    return np.asarray(table.vectors[np.array([row[key] for key in groups.keys])])


def search_times(gallery: Gallery, kept: list[Any], queries: np.ndarray) -> dict[str, dict[str, float]]:
    """Return {"p50_ms", "p95_ms"} of each method's search for one query on one thread, by method name.

    Methods with one vector per SKU share one timing of a flat index: structure and cost are the same.
    """
    from skufp.retrieval.index import SkuIndex
    from skufp.retrieval.latency import percentiles

    def timed(index: Index) -> dict[str, float]:
        return percentiles(lambda q: index.search(q[None], TOP), queries[:TIMED])

    means = next(r for r in kept if r.name == "mean").vectors
    with one_thread():
        one_vector = timed(SkuIndex.build(means))
        times = {r.name: one_vector for r in kept if r.sku_of_vector is None}
        many = [r for r in kept if r.sku_of_vector is not None]
        times |= {r.name: timed(SkuIndex.build(r.vectors, sku_of_vector=r.sku_of_vector)) for r in many}
        return times | {"fingerprint": timed(gallery.index)}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and faiss compute on one thread."""
    import torch

    from skufp.retrieval.faiss_kinds import set_threads

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        set_threads(threads)


def rank_all(
    gallery: Gallery, kept: list[Any], times: dict[str, dict[str, float]], queries: np.ndarray, target: np.ndarray
) -> list[Any]:
    """Return a Method for each representation; the fingerprint's ranks come from the FAISS index."""
    from skufp.retrieval.comparison import Method
    from skufp.retrieval.ranks import ranks
    from skufp.retrieval.single_view import best_view_ranks

    mean = next(r for r in kept if r.name == "mean")
    one_vector = (1.0, mean.bytes_per_sku, times["mean"])
    semi, oracle = best_view_ranks(np.asarray(gallery.views.vectors), gallery.groups.of_row, queries, target)
    own, index = ranks(gallery.index, queries, target), gallery.index
    methods = [
        *(Method(r.name, r.ranks(queries, target), r.vectors_per_sku, r.bytes_per_sku, times[r.name]) for r in kept),
        Method("best_view_semi_oracle", semi, *one_vector, "semi-oracle"),
        Method("best_view_oracle", oracle, *one_vector, "oracle"),
        Method("fingerprint", own, index.vectors_per_sku, index.nbytes / gallery.size, times["fingerprint"]),
    ]
    return sorted(methods, key=lambda m: [*LABELS, *ONLY_REAL].index(m.name))
