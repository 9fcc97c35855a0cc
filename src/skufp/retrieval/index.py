"""The FAISS index: SKUs found by inner product, with one vector each or several. The only file that imports faiss.

Shapes: N vectors, S SKUs, Q queries, D dimensions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skufp.errors import UserError
from skufp.retrieval.metrics import ROUNDING

FILE = "index.faiss"
EF_SEARCH = 64  # of a graph (HNSW): candidates kept per query; faiss's own 16 misses more of the true neighbours
NOT_A_KIND = "could not parse"  # faiss's words
RANK_DEPTH, RANK_BLOCK = 128, 256


class FaissMissingError(ImportError):
    """faiss is an extra: say which."""

    def __init__(self) -> None:
        super().__init__("faiss is not installed: pip install 'skufp[cpu]' (or 'skufp[gpu]' beside CUDA)")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise FaissMissingError from error
    return faiss


@dataclass
class SkuIndex:
    """An index whose ids are SKU numbers: row numbers of the SKU table it was built from.

    ``index`` is a faiss IndexIDMap, or a plain index whose rows are the numbers. Several vectors may carry one SKU's
    number; every answer names a SKU once.
    """

    index: Any
    skus: int = field(init=False)

    def __post_init__(self) -> None:
        mapped = hasattr(self.index, "id_map")
        self.skus = len(np.unique(_faiss().vector_to_array(self.index.id_map))) if mapped else self.index.ntotal

    @classmethod
    def build(
        cls, vectors: np.ndarray, kind: str = "Flat", dims: int | None = None, sku_of_vector: np.ndarray | None = None
    ) -> "SkuIndex":
        """Index unit-norm ``vectors`` [N, D]; the same input gives the same index, on any number of threads.

        ``kind`` is a faiss factory string, in which ``{dim}`` and ``{dim/8}`` stand for the number of dimensions and an
        eighth of it. ``dims`` keeps that many leading dimensions and normalises again (Matryoshka representations:
        Kusupati et al., 2022), of vectors and of queries, inside the index: callers pass whole queries.
        ``sku_of_vector`` [N] are SKU numbers; by default vector i is SKU i. Raises UserError for a kind that faiss
        does not know or that does not fit the dimensions, for ``dims`` out of range, and for too few vectors to
        train on.
        """
        faiss = _faiss()
        data = np.ascontiguousarray(vectors, np.float32)
        ids = np.arange(len(data)) if sku_of_vector is None else np.asarray(sku_of_vector)
        if not len(data) == len(ids) > 0:
            raise ValueError(f"{len(data)} vectors but {len(ids)} SKU numbers; an index needs at least one")
        inner = _truncating(data.shape[1], kind, dims)
        for training, centroids in _clusterings(inner):
            if len(data) < centroids:
                raise UserError(
                    f"index.kind={kind} learns {centroids} centroids, but there are only {len(data)} vectors to learn"
                    " from: use index=flat, or index=int8 or index=rabitq, which learn none"
                )
            training.min_points_per_centroid = 1  # see advised_vectors: who builds the index tells the user
        index = faiss.IndexIDMap(inner)
        index.train(data)
        index.add_with_ids(data, np.ascontiguousarray(ids, np.int64))
        return cls(index)

    def search(self, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (scores [Q, k], SKU numbers [Q, k]) of the k best SKUs of ``queries`` [Q, D], best first.

        A SKU's score is that of its best vector. ``k`` is cut to the number of SKUs. Where an approximate index
        finds fewer, or a query is NaN, the rest are -inf and -1. With ``among`` [A], SKU numbers, the answers are the
        k best of those, as the index ranks all.
        """
        if among is not None:
            return self._among(queries, min(k, len(among)), among)
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, self.skus)
        return self._vectors(queries, k) if self.skus == self.index.ntotal else self._distinct(queries, k)

    def _vectors(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, ids = self.index.search(queries, k)
        scores[ids < 0] = -np.inf
        return scores, ids

    def _distinct(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Fetch more and more vectors until every query has k SKUs among them, or has seen all vectors."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        unfinished, fetch = np.arange(len(queries)), int(np.ceil(k * self.vectors_per_sku))
        while len(unfinished):
            fetch = min(fetch, self.index.ntotal)
            vector_scores, vector_ids = self._vectors(queries[unfinished], fetch)
            row, column, place = _first_of_each(vector_ids)
            inside = place < k
            row, column, place = row[inside], column[inside], place[inside]
            scores[unfinished[row], place] = vector_scores[row, column]
            ids[unfinished[row], place] = vector_ids[row, column]
            if fetch == self.index.ntotal:
                break
            unfinished = unfinished[np.bincount(row, minlength=len(unfinished)) < k]
            fetch *= 2
        return scores, ids

    def _among(self, queries: np.ndarray, k: int, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look deeper and deeper until every query has k SKUs of ``among``, or has seen all: any form of index can.

        faiss's own selectors are refused by product quantisation, and thin out what a graph finds.
        """
        depth = 4 * k
        while True:
            scores, ids = self.search(queries, depth)
            inside = np.isin(ids, among)
            if depth >= self.skus or (inside.sum(axis=1) >= k).all():
                break
            depth *= 8
        first = np.argsort(~inside, axis=1, kind="stable")[:, :k]
        inside, scores, ids = (np.take_along_axis(a, first, axis=1) for a in (inside, scores, ids))
        return np.where(inside, scores, -np.inf), np.where(inside, ids, -1)

    def save(self, folder: Path) -> None:
        """Write `index.faiss`."""
        _faiss().write_index(self.index, str(folder / FILE))

    @classmethod
    def load(cls, folder: Path) -> "SkuIndex":
        """Read `index.faiss`; UserError if the file holds no index."""
        return read_flat(folder / FILE)

    @property
    def dim(self) -> int:
        """Number of dimensions of queries."""
        return int(self.index.d)

    @property
    def vectors_per_sku(self) -> float:
        """Mean number of vectors of a SKU."""
        return self.index.ntotal / self.skus

    @property
    def nbytes(self) -> int:
        """Size of the serialised index in bytes: codes, ids, tables, links."""
        return len(_faiss().serialize_index(self.index))

    @property
    def code_bytes_per_vector(self) -> int:
        """Bytes of one vector's code alone: no id, no share of the quantiser's tables, no links of a graph."""
        graph = next((part for part in _parts(self.index) if hasattr(part, "hnsw")), None)
        return int((self.index if graph is None else graph.storage).sa_code_size())

    def __len__(self) -> int:
        return self.skus


def write_flat(path: Path, vectors: np.ndarray) -> None:
    """Write ``vectors`` [N, D] as a plain faiss IndexFlatIP, ids are rows: any program's faiss.read_index opens it."""
    faiss = _faiss()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    faiss.write_index(index, str(path))


def read_flat(path: Path) -> SkuIndex:
    """Read a faiss index that write_flat, or any program, wrote; UserError if the file holds none."""
    try:
        return SkuIndex(_faiss().read_index(str(path)))
    except RuntimeError as error:
        raise UserError(f"{path} is no faiss index: {str(error).split(': ')[-1]}") from error


def ranks(index: SkuIndex, queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank [Q] of each query's SKU ``target`` [Q] in what the index answers to ``queries`` [Q, D].

    Equal scores count against us; a SKU that the index does not find has the worst rank, the number of SKUs. Looks
    RANK_DEPTH deep first and deeper only for the queries that need it, in blocks, so memory stays at
    RANK_BLOCK x vectors.
    """
    found = np.full(len(queries), len(index))
    unsettled, depth = np.arange(len(queries)), RANK_DEPTH
    while len(unsettled):
        depth = min(depth, len(index))
        deeper = []
        for start in range(0, len(unsettled), RANK_BLOCK):
            block = unsettled[start : start + RANK_BLOCK]
            scores, ids = index.search(queries[block], depth)
            hit = ids == target[block, None]
            own = np.where(hit, scores, -np.inf).max(axis=1, keepdims=True)
            settled = hit.any(axis=1) & ((scores[:, -1:] < own - ROUNDING)[:, 0] | (depth == len(index)))
            found[block[settled]] = (~(scores < own - ROUNDING)).sum(axis=1)[settled]  # NaN: below nothing, so last
            deeper.append(block[~settled])
        if depth == len(index):
            break
        unsettled, depth = np.concatenate(deeper), depth * 8
    return found


def check_kind(kind: str, dims: int | None = None) -> None:
    """Raise UserError if faiss does not know ``kind`` or, where ``dims`` is given, cannot make it of that size."""
    try:
        _empty(kind, dims or 3840)  # divides by nearly all that anyone divides by
    except UserError as error:
        if dims is not None or NOT_A_KIND in str(error):
            raise


def advised_vectors(kind: str, dims: int) -> int:
    """Return how many vectors faiss would like to see before it trains ``kind``; 0 if it learns no centroids."""
    wishes = (training.min_points_per_centroid * centroids for training, centroids in _clusterings(_empty(kind, dims)))
    return max(wishes, default=0)


def spherical_kmeans(vectors: np.ndarray, k: int, seed: int, rounds: int = 25, starts: int = 3) -> np.ndarray:
    """Return the nearest of ``k`` centres [N] for unit-norm ``vectors`` [N, D]; a centre may be nobody's.

    Spherical k-means (Dhillon & Modha, 2001): centres are unit vectors, the best of ``starts`` seeded starts is kept.
    """
    faiss = _faiss()
    data = np.ascontiguousarray(vectors, np.float32)
    kmeans = faiss.Kmeans(
        data.shape[1], k, niter=rounds, nredo=starts, seed=seed, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=len(data),
    )  # fmt: skip
    kmeans.train(data)
    nearest: np.ndarray = kmeans.index.search(data, 1)[1][:, 0]
    return nearest


def set_threads(count: int) -> None:
    """Set the number of threads faiss searches with."""
    _faiss().omp_set_num_threads(count)


def _truncating(dim: int, kind: str, dims: int | None) -> Any:
    """Return an empty index of ``kind`` that takes [N, dim] and, if told, keeps the first ``dims``."""
    if dims is not None and not 1 <= dims <= dim:
        raise UserError(f"index.dims={dims}: the vectors have {dim} dimensions. Give 1 to {dim}, or index.dims=null")
    if dims is None or dims == dim:
        return _empty(kind, dim)
    faiss = _faiss()
    index = faiss.IndexPreTransform(faiss.NormalizationTransform(dims), _empty(kind, dims))
    index.prepend_transform(faiss.RemapDimensionsTransform(dim, dims, False))  # False: the first, not every other
    return index


def _empty(kind: str, dim: int) -> Any:
    """Return an empty faiss index for [N, dim] without ids."""
    faiss = _faiss()

    def divide(match: re.Match[str]) -> str:
        parts = int(match[1] or 1)
        if dim % parts:
            raise UserError(
                f"index.kind={kind}: {dim} dimensions do not divide by {parts}. Set index.dims to a multiple of"
                f" {parts}, or use index=int8 or index=rabitq, which take any number"
            )
        return str(dim // parts)

    try:
        text = re.sub(r"\{dim(?:/([1-9]\d*))?\}", divide, kind).removeprefix("IDMap,")  # ids are ours to add
        index = faiss.index_factory(dim, text, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        reason = str(error).split(": ")[-1]
        where = "" if NOT_A_KIND in reason else f" with {dim} dimensions"
        raise UserError(
            f"index.kind={kind}{where}: faiss {faiss.__version__} says: {reason}. It must be an"
            " index_factory string such as Flat, SQ8 or PQ16, or choose one: index=flat"
        ) from error
    for part in _parts(index):
        if hasattr(part, "hnsw"):
            part.hnsw.efSearch = EF_SEARCH
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False  # takes minutes, for a kind of search that is not used here
    return index


def _parts(index: Any) -> Iterator[Any]:
    """Yield ``index`` and what it wraps, outermost first."""
    while index is not None:
        index = _faiss().downcast_index(index)
        yield index
        inner = [name for name in ("index", "storage", "base_index") if hasattr(index, name)]
        index = getattr(index, inner[0]) if inner else None


def _clusterings(index: Any) -> Iterator[tuple[Any, int]]:
    """Yield every k-means that training ``index`` runs: its parameters and its number of centroids."""
    for part in _parts(index):
        if hasattr(part, "pq"):
            yield part.pq.cp, part.pq.ksub
        if hasattr(part, "nlist"):
            yield part.cp, part.nlist


def _first_of_each(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row, column, place) of every id's first occurrence in its row; ``place`` counts them from 0.

    ids [Q, N]; -1 is no id.
    """
    order = np.argsort(ids, axis=1, kind="stable")
    in_order = np.take_along_axis(ids, order, axis=1)
    new = np.ones(ids.shape, bool)
    new[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, axis=1)
    first &= ids >= 0
    row, column = np.nonzero(first)
    return row, column, first.cumsum(axis=1)[row, column] - 1
