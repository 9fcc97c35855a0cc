"""The baselines beside the fingerprint: other representations of SKUs from the same views."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skufp.retrieval.fixed_dimensional import FixedDimensionalEncoding
from skufp.retrieval.metrics import max_per_sku, ranks_in_blocks
from skufp.retrieval.prototypes import two_prototypes
from skufp.retrieval.representations import aggregate, mean_of_views
from skufp.retrieval.single_view import first_view

FLOAT = 4


@dataclass(frozen=True)
class Representation:
    """A method's representation of S SKUs: ``vectors`` [N, D'] and each vector's SKU (None: vector i is SKU i's only).

    A SKU's score is the score of its best vector. ``encode`` maps queries [Q, D] to [Q, D'].
    """

    name: str
    vectors: np.ndarray
    skus: int
    sku_of_vector: np.ndarray | None = None
    encode: Callable[[np.ndarray], np.ndarray] | None = None

    def scores(self, queries: np.ndarray) -> np.ndarray:
        """[Q, D] -> [Q, S]."""
        encoded = queries if self.encode is None else self.encode(queries)
        scores = encoded @ self.vectors.T
        return scores if self.sku_of_vector is None else max_per_sku(scores, self.sku_of_vector, self.skus)

    def ranks(self, queries: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the rank [Q] of each query's SKU ``target``, in blocks of queries."""
        return ranks_in_blocks(self.scores, queries, target)

    @property
    def vectors_per_sku(self) -> float:
        """Mean number of vectors."""
        return len(self.vectors) / self.skus

    @property
    def bytes_per_sku(self) -> float:
        """Mean number of bytes of the vectors alone, as 32-bit floats."""
        return FLOAT * self.vectors.size / self.skus


def baselines(
    views: np.ndarray, sku_of_view: np.ndarray, planes: int, repetitions: int, seed: int
) -> list[Representation]:
    """Return all baselines that need no query, for views [N, D] whose SKU numbers are ``sku_of_view`` [N].

    ``planes`` and ``repetitions`` shape the fixed-dimensional encoding, which ``seed`` draws.
    """
    from skufp.models.aggregators.pooling import GeM, Medoid, TrimmedMean

    skus, dim = int(sku_of_view.max()) + 1, views.shape[1]
    fde = FixedDimensionalEncoding.draw(dim, planes, repetitions, seed)
    pooled = {"medoid": Medoid(dim), "trimmed_mean": TrimmedMean(dim), "gem": GeM(dim, p=3.0)}
    vectors = {
        "first_view": first_view(views, sku_of_view),
        "mean": mean_of_views(views, sku_of_view, skus),
        **{name: aggregate(module, views, sku_of_view, skus) for name, module in pooled.items()},
    }
    prototypes, sku_of_prototype = two_prototypes(views, sku_of_view)
    return [
        *(Representation(name, kept, skus) for name, kept in vectors.items()),
        Representation("two_prototypes", prototypes, skus, sku_of_prototype),
        Representation("fde", fde.encode_skus(views, sku_of_view, skus), skus, encode=fde.encode_queries),
        Representation("multi_vector", views, skus, sku_of_view),
    ]
