"""Product groups: spherical k-means of SKU vectors, the choice of k, and the agreement with labels.

Legend: N SKUs, D dim, k clusters. Vectors have unit norm; distances are 1 - cosine.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from skufp.retrieval.faiss_kinds import spherical_kmeans
from skufp.retrieval.representations import normalise

SMALLEST = 3  # mean products per cluster at the largest k tried
GROWTH = 1.25
SHUFFLES = 20


@dataclass(frozen=True)
class Cluster:
    """``rows`` are its SKUs, the nearest to its mean first; ``cosines`` are their cosines to that mean.

    The first is the medoid, the SKU with the least mean distance to all: for unit vectors, the SKU nearest to the mean.
    """

    rows: np.ndarray
    cosines: np.ndarray

    @property
    def medoid(self) -> int:
        """The row of the medoid."""
        return int(self.rows[0])


@dataclass(frozen=True)
class Clustering:
    """``labels`` [N] number ``clusters``, the largest first; ``silhouettes`` are the means for every k tried."""

    labels: np.ndarray
    clusters: list[Cluster]
    silhouettes: dict[int, float]


@dataclass(frozen=True)
class Agreement:
    """The agreement of clusters with a label: purity and normalised mutual information, with their chance values."""

    purity: float
    purity_by_chance: float
    nmi: float
    nmi_by_chance: float


def find_clusters(vectors: np.ndarray, k: int | None = None, most: int = 40, seed: int = 0) -> Clustering:
    """Group ``vectors`` [N, D] into ``k`` clusters, or fewer if there are fewer distinct vectors.

    ``k`` None: the number of numbers_to_try with the largest mean silhouette, of ties the smallest. Raises ValueError
    where there are fewer vectors than ``k``.
    """
    count = len(vectors)
    if k is not None and not 1 <= k <= count:
        raise ValueError(f"{k} clusters of {count} vectors")
    best, silhouettes = np.zeros(count, np.int64), dict[int, float]()
    for number in [k] if k is not None else numbers_to_try(count, most):
        labels = spherical_kmeans(vectors, number, seed) if number > 1 else np.zeros(count, np.int64)
        score = float(silhouette(vectors, labels).mean())
        if score > max(silhouettes.values(), default=-np.inf):
            best = labels
        silhouettes[number] = score
    clusters = [_cluster(vectors, np.flatnonzero(best == label)) for label in np.unique(best)]
    clusters.sort(key=lambda cluster: (-len(cluster.rows), cluster.medoid))
    labels = np.zeros(count, np.int64)
    for number, cluster in enumerate(clusters):
        labels[cluster.rows] = number
    return Clustering(labels, clusters, silhouettes)


def numbers_to_try(count: int, most: int) -> list[int]:
    """Return numbers from half to twice sqrt(N / 2), in steps of a quarter, up to ``most`` and N / SMALLEST.

    Over all k a catalogue's silhouette is largest for two clusters, tops and bottoms, which is of no use. So the choice
    is around the rule of thumb of Mardia, Kent & Bibby (Multivariate Analysis, 1979). [1] for very few products.
    """
    usual = np.sqrt(count / 2)
    numbers, step = [], max(2.0, usual / 2)
    while round(step) <= min(most, max(2, 2 * usual), count // SMALLEST):
        numbers.append(round(step))
        step = max(step + 1, step * GROWTH)
    return numbers or [1]


def silhouette(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return every SKU's silhouette [N] with cosine distances (Rousseeuw, 1987): -1 to 1; 0 in a cluster of one.

    (b - a) / max(a, b), a the mean distance to the others of its cluster, b that to the nearest other cluster's SKUs.
    Of unit vectors these means are products with each cluster's sum: no N x N matrix is needed. One cluster: all 0.
    """
    _, labels = np.unique(labels, return_inverse=True)
    data, k = np.asarray(vectors, np.float64), int(labels.max(initial=-1)) + 1
    if k < 2:
        return np.zeros(len(data))
    sums = np.zeros((k, data.shape[1]))
    np.add.at(sums, labels, data)
    sizes, rows = np.bincount(labels, minlength=k), np.arange(len(data))
    products = data @ sums.T  # [N, k]
    own = products[rows, labels] - (data * data).sum(axis=1)
    others = sizes[labels] - 1
    a = 1 - own / np.maximum(others, 1)
    distance = 1 - products / sizes
    distance[rows, labels] = np.inf
    b = distance.min(axis=1)
    return np.where(others > 0, (b - a) / np.maximum(np.maximum(a, b), 1e-12), 0.0)


def _cluster(vectors: np.ndarray, rows: np.ndarray) -> Cluster:
    own = np.asarray(vectors[rows], np.float64)
    cosines = own @ normalise(own.sum(axis=0))
    order = np.lexsort((rows, -cosines.round(6)))  # equal vectors go by row
    return Cluster(rows[order], cosines[order])


def agreement(labels: np.ndarray, truth: Sequence[Hashable | None], seed: int = 0) -> Agreement | None:
    """Compare ``labels`` [N] with ``truth`` [N], over the SKUs whose truth is known (not None).

    The chance value is the mean over SHUFFLES seeded shuffles, since many small clusters are pure by chance. None where
    no value of the truth is shared by two SKUs, or all share one.
    """
    known = [i for i, value in enumerate(truth) if value is not None]
    number: dict[Hashable, int] = {}
    values = np.array([number.setdefault(truth[i], len(number)) for i in known], np.int64)
    if not 1 < len(number) < len(values):
        return None
    own, rng = np.asarray(labels)[known], np.random.default_rng(seed)
    shuffled = [
        (purity(own, v), mutual_information(own, v)) for v in (rng.permutation(values) for _ in range(SHUFFLES))
    ]
    chance = np.mean(shuffled, axis=0)
    return Agreement(purity(own, values), float(chance[0]), mutual_information(own, values), float(chance[1]))


def purity(labels: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of SKUs whose truth is the most frequent value in their cluster."""
    return float(_contingency(labels, truth).max(axis=1).sum() / len(labels))


def mutual_information(labels: np.ndarray, truth: np.ndarray) -> float:
    """Return the mutual information divided by the mean of both entropies (Vinh et al., 2010): 0 to 1."""
    joint = _contingency(labels, truth) / len(labels)
    mean_entropy = (_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))) / 2
    shared = 2 * mean_entropy - _entropy(joint.ravel())
    return max(0.0, shared / mean_entropy) if mean_entropy > 0 else 0.0


def _contingency(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return counts [clusters, values]."""
    (_, row), (_, column) = np.unique(labels, return_inverse=True), np.unique(truth, return_inverse=True)
    table = np.zeros((row.max() + 1, column.max() + 1))
    np.add.at(table, (row, column), 1)
    return table


def _entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
