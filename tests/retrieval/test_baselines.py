"""The baselines of one gallery: what each keeps, what it costs, how it ranks."""

import numpy as np
import pytest

from skufp.retrieval.baselines import Representation, baselines
from skufp.retrieval.metrics import ranks_of_target
from skufp.retrieval.representations import mean_of_views, multi_vector_scores, normalise

SKU = np.array([0, 0, 1, 2, 2, 2, 3, 0, 3])


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    return normalise(np.random.default_rng(0).normal(size=(9, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def kept(views: np.ndarray) -> dict[str, Representation]:
    return {r.name: r for r in baselines(views, SKU, planes=1, repetitions=1, seed=0)}


def test_names_and_costs(kept: dict[str, Representation]) -> None:
    one = {"first_view", "mean", "medoid", "trimmed_mean", "gem", "fde"}
    assert set(kept) == one | {"two_prototypes", "multi_vector"}
    assert all((kept[name].vectors_per_sku, kept[name].bytes_per_sku) == (1.0, 32.0) for name in one)
    assert (kept["two_prototypes"].vectors_per_sku, kept["two_prototypes"].bytes_per_sku) == (7 / 4, 56.0)
    assert (kept["multi_vector"].vectors_per_sku, kept["multi_vector"].bytes_per_sku) == (9 / 4, 72.0)


def test_ranks_are_those_of_their_scores(kept: dict[str, Representation], views: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    queries, target = normalise(rng.normal(size=(40, 8))).astype(np.float32), rng.integers(0, 4, 40)
    exact = {
        "mean": queries @ mean_of_views(views, SKU, 4).T,
        "first_view": queries @ views[[0, 2, 3, 6]].T,
        "multi_vector": multi_vector_scores(queries, views, SKU, 4),
    }
    for name, scores in exact.items():
        assert kept[name].ranks(queries, target).tolist() == ranks_of_target(scores, target).tolist(), name
    for representation in kept.values():
        assert set(representation.ranks(queries, target)) <= {1, 2, 3, 4}


def test_medoid_and_prototypes_of_few_views_are_views(kept: dict[str, Representation], views: np.ndarray) -> None:
    assert (kept["medoid"].vectors @ views.T).max(axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    own = kept["two_prototypes"]
    assert own.sku_of_vector is not None
    pair = own.vectors[own.sku_of_vector == 3]  # two views: each is a prototype
    assert sorted((pair @ views[SKU == 3].T).max(axis=0).tolist()) == pytest.approx([1, 1], abs=1e-6)


def test_a_single_view_is_the_same_for_all_means(kept: dict[str, Representation], views: np.ndarray) -> None:
    for name in ("first_view", "mean", "medoid", "trimmed_mean"):
        np.testing.assert_allclose(kept[name].vectors[1], views[2], atol=1e-5, err_msg=name)
