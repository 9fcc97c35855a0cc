"""Clusters of hand-placed angles; silhouette, purity and mutual information against naive loops and known values."""

import math

import numpy as np
import pytest

from skufp.retrieval.clusters import (
    Clustering,
    agreement,
    find_clusters,
    mutual_information,
    numbers_to_try,
    purity,
    silhouette,
)
from skufp.retrieval.faiss_kinds import spherical_kmeans
from skufp.retrieval.representations import normalise


def _at(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


BUNDLES = (0, 5, -5, 2, -1, 120, 125, 114, 121, 240, 246, 238, 241)  # three, of 5, 4 and 4
TRUTH = [0] * 5 + [1] * 4 + [2] * 4


def _sets(found: Clustering) -> list[set[int]]:
    return [set(cluster.rows.tolist()) for cluster in found.clusters]


@pytest.mark.parametrize("k", [3, None])
def test_three_bundles_of_angles_are_three_clusters(k: int | None) -> None:
    found = find_clusters(_at(*BUNDLES), k)
    assert _sets(found) == [{0, 1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}]
    assert found.labels.tolist() == TRUTH
    assert max(found.silhouettes, key=lambda n: found.silhouettes[n]) == 3
    assert [cluster.medoid for cluster in found.clusters] == [0, 5, 12]
    first = found.clusters[0]  # its mean points to about 0.2 degrees
    assert first.rows.tolist() == [0, 4, 3, 1, 2]
    assert first.cosines == pytest.approx(np.cos(np.deg2rad([0.2, 1.2, 1.8, 4.8, 5.2])), abs=1e-4)


def test_the_medoid_has_the_least_mean_distance() -> None:
    vectors = normalise(np.random.default_rng(3).normal(size=(60, 6))).astype(np.float32)
    for cluster in find_clusters(vectors, 4).clusters:
        own = vectors[cluster.rows]
        means = [np.mean([1 - float(a @ b) for b in own]) for a in own]
        assert means[0] == pytest.approx(min(means), abs=1e-6)


def test_the_same_seed_gives_the_same_clusters() -> None:
    vectors = normalise(np.random.default_rng(0).normal(size=(90, 8))).astype(np.float32)
    assert np.array_equal(spherical_kmeans(vectors, 7, 1), spherical_kmeans(vectors, 7, 1))
    assert np.array_equal(find_clusters(vectors, seed=1).labels, find_clusters(vectors, seed=1).labels)


def test_fewer_clusters_where_not_that_many_differ() -> None:
    found = find_clusters(np.repeat(_at(0, 90), 3, axis=0), 4)
    assert _sets(found) == [{0, 1, 2}, {3, 4, 5}]
    assert [cluster.medoid for cluster in found.clusters] == [0, 3]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_very_few_products_are_one_cluster(count: int) -> None:
    found = find_clusters(_at(*range(count)))
    assert _sets(found) == [set(range(count))]
    assert found.silhouettes == {1: 0}
    with pytest.raises(ValueError, match=f"9 clusters of {count} vectors"):
        find_clusters(_at(*range(count)), 9)


def test_numbers_around_the_rule_of_thumb() -> None:
    assert numbers_to_try(200, 40) == [5, 6, 8, 10, 12, 15, 19]
    assert numbers_to_try(200, 9) == [5, 6, 8]
    assert numbers_to_try(12, 40) == [2, 3, 4]
    assert numbers_to_try(5, 40) == [1]
    assert all(numbers_to_try(count, 40) for count in range(1, 300))


def test_silhouette_equals_a_naive_double_loop() -> None:
    rng = np.random.default_rng(1)
    vectors = normalise(rng.normal(size=(40, 5)))
    labels = rng.integers(0, 4, 40)
    labels[labels == 2] = 9  # numbers may have gaps
    labels[7] = 20  # one by itself
    for i, value in enumerate(silhouette(vectors, labels)):
        means = {
            label: np.mean([1 - vectors[i] @ vectors[j] for j in range(40) if j != i and labels[j] == label])
            for label in set(labels.tolist())
            if any(j != i and labels[j] == label for j in range(40))
        }
        a = means.pop(labels[i], None)
        b = min(means.values())
        assert value == pytest.approx(0 if a is None else (b - a) / max(a, b))
    assert silhouette(vectors, np.zeros(40, int)).tolist() == [0] * 40


def test_purity_and_mutual_information_of_known_tables() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert purity(labels, labels * 5) == mutual_information(labels, labels * 5) == pytest.approx(1)
    halves = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    assert purity(labels, halves) == pytest.approx(0.5)
    assert mutual_information(labels, halves) == pytest.approx(0, abs=1e-12)
    quarters = np.array([0, 0, 1, 1, 2, 2, 3, 3])  # I = log 2, entropies log 2 and log 4
    assert mutual_information(labels, quarters) == pytest.approx(2 / 3)
    one_off = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    shared = 3 / 8 * math.log(2) + 1 / 8 * math.log(0.4) + 0.5 * math.log(1.6)
    entropy = -(3 / 8 * math.log(3 / 8) + 5 / 8 * math.log(5 / 8))
    assert purity(labels, one_off) == pytest.approx(7 / 8)
    assert mutual_information(labels, one_off) == pytest.approx(2 * shared / (math.log(2) + entropy))
    assert mutual_information(np.zeros(4, int), np.zeros(4, int)) == 0


def test_agreement_is_told_from_chance() -> None:
    perfect = agreement(np.array(TRUTH * 5), [f"c{t}" for t in TRUTH * 5])
    assert perfect is not None
    assert (perfect.purity, perfect.nmi) == pytest.approx((1, 1))
    assert perfect.nmi_by_chance < 0.1
    assert perfect.purity_by_chance < 0.6
    alone = agreement(np.arange(10), [0, 1] * 5)  # every product a cluster: pure, by construction
    assert alone is not None
    assert (alone.purity, alone.purity_by_chance) == (1, 1)
    assert alone.nmi == pytest.approx(alone.nmi_by_chance)


def test_nothing_to_agree_with() -> None:
    labels = np.array([0, 0, 1, 1])
    assert agreement(labels, [None] * 4) is None
    assert agreement(labels, ["top"] * 4) is None
    assert agreement(labels, ["a", "b", "c", "d"]) is None
    known = agreement(labels, ["a", "a", "b", None])
    assert known is not None
    assert known.purity == 1
