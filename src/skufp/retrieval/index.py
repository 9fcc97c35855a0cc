"""The FAISS index: SKUs ranked by inner product, with one vector or several each. An Index (retrieval/ranks.py).

Shapes: N vectors, S SKUs, Q queries, D dimensions.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skufp.errors import UserError
from skufp.retrieval.faiss_kinds import clusterings, empty_index, layers, load_faiss, read_flat

FILE = "index.faiss"


@dataclass
class SkuIndex:
    """An index whose ids are SKU numbers: row numbers of the SKU table it was built from.

    ``index`` is a faiss IndexIDMap, or a plain index whose rows are the numbers. Several vectors may have one SKU's
    number; a result holds every SKU at most once.
    """

    index: Any
    skus: int = field(init=False)

    def __post_init__(self) -> None:
        mapped = hasattr(self.index, "id_map")
        self.skus = len(np.unique(load_faiss().vector_to_array(self.index.id_map))) if mapped else self.index.ntotal

    @classmethod
    def build(
        cls, vectors: np.ndarray, kind: str = "Flat", dims: int | None = None, sku_of_vector: np.ndarray | None = None
    ) -> "SkuIndex":
        """Index unit-norm ``vectors`` [N, D]; the same input gives the same index, on any number of threads.

        ``kind`` is a faiss factory string, in which ``{dim}`` and ``{dim/8}`` are the number of dimensions and an
        eighth of it. With ``dims`` the index keeps that many leading dimensions of vectors and queries and normalises
        again (Matryoshka representations: Kusupati et al., 2022); callers pass whole queries.
        ``sku_of_vector`` [N] are SKU numbers; by default vector i is SKU i. Raises UserError for a kind that faiss
        does not know or that does not fit the dimensions, for ``dims`` out of range, and for too few vectors to
        train on.
        """
        faiss = load_faiss()
        data = np.ascontiguousarray(vectors, np.float32)
        ids = np.arange(len(data)) if sku_of_vector is None else np.asarray(sku_of_vector)
        if not len(data) == len(ids) > 0:
            raise ValueError(f"{len(data)} vectors but {len(ids)} SKU numbers; an index needs at least one")
        inner = empty_index(data.shape[1], kind, dims)
        for training, centroids in clusterings(inner):
            if len(data) < centroids:
                raise UserError(
                    f"index.kind={kind} learns {centroids} centroids, but there are only {len(data)} vectors to learn"
                    " from: use index=flat, or index=int8 or index=rabitq, which have none"
                )
            training.min_points_per_centroid = 1  # the caller warns the user instead; see advised_vectors
        index = faiss.IndexIDMap(inner)
        index.train(data)
        index.add_with_ids(data, np.ascontiguousarray(ids, np.int64))
        return cls(index)

    def search(self, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (scores [Q, k], SKU numbers [Q, k]) of the k best SKUs of ``queries`` [Q, D], best first.

        A SKU's score is that of its best vector. ``k`` is limited to the number of SKUs. Where an approximate index
        finds fewer, or a query is NaN, the rest are -inf and -1. With ``among`` [A], SKU numbers, the results are the
        k best of those, in the index's order.
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
        """Search deeper until every query has found k SKUs, or all vectors."""
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
        """Search deeper until every query has found k SKUs of ``among``, or all SKUs, which works for any index form.

        faiss's own selectors do not work with product quantisation, and reduce the recall of a graph.
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
        load_faiss().write_index(self.index, str(folder / FILE))

    @classmethod
    def load(cls, folder: Path) -> "SkuIndex":
        """Read `index.faiss`; UserError if the file is not an index."""
        return cls(read_flat(folder / FILE))

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
        return len(load_faiss().serialize_index(self.index))

    @property
    def code_bytes_per_vector(self) -> int:
        """Bytes of one vector's code alone, without id, the quantiser's tables and a graph's links."""
        graph = next((part for part in layers(self.index) if hasattr(part, "hnsw")), None)
        return int((self.index if graph is None else graph.storage).sa_code_size())

    def __len__(self) -> int:
        return self.skus


def _first_of_each(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (row, column, place) of every id's first occurrence in its row; ``place`` counts them from 0.

    ids [Q, N]; -1 is padding.
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
