"""The interface of an index of SKUs, and the rank of each query's own SKU in its results.

Shapes: N vectors, S SKUs, Q queries, D dimensions.
"""

from typing import Protocol

import numpy as np

from skufp.retrieval.metrics import ROUNDING

RANK_DEPTH, RANK_BLOCK = 128, 256


class Index(Protocol):
    """Finds SKUs by a query's vector. SKUs are numbered as the rows of the table that the index was built from."""

    def search(self, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (scores [Q, k], SKU numbers [Q, k]) of the k best SKUs of ``queries`` [Q, D], each once, best first.

        ``k`` is limited to the number of SKUs; where fewer are found, the rest are -inf and -1. With ``among`` [A], SKU
        numbers, the results are the k best of those.
        """
        ...

    def __len__(self) -> int:
        """Return the number of SKUs."""
        ...

    @property
    def vectors_per_sku(self) -> float:
        """Mean number of vectors of a SKU."""
        ...

    @property
    def nbytes(self) -> int:
        """Size on disk in bytes."""
        ...


def ranks(index: Index, queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank [Q] of each query's SKU ``target`` [Q] in the index's results for ``queries`` [Q, D].

    Ties count against the target; a SKU that the index does not find has the worst rank, the number of SKUs. Searches
    to RANK_DEPTH first and deeper only for the queries that need it, in blocks, so memory is bounded by
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
            found[block[settled]] = (~(scores < own - ROUNDING)).sum(axis=1)[settled]  # NaN compares False: rank last
            deeper.append(block[~settled])
        if depth == len(index):
            break
        unsettled, depth = np.concatenate(deeper), depth * 8
    return found
