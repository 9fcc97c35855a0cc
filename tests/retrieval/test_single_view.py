"""One view per SKU, chosen by oracles of two kinds, against naive loops."""

import math

import numpy as np
import pytest

from skufp.retrieval.representations import mean_of_views, normalise
from skufp.retrieval.single_view import best_view_ranks, first_view, halves, only_query_share


def _unit(*degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], np.float32)


def _rank(query: np.ndarray, vectors: np.ndarray, target: int) -> int:
    scores = vectors @ query
    return 1 + sum(float(scores[s]) >= float(scores[target]) - 1e-6 for s in range(len(vectors)) if s != target)


def _naive_gallery(views: np.ndarray, sku: np.ndarray, queries: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Every SKU as the view that ranks its own queries best while all others stand as means."""
    means = mean_of_views(views, sku, int(sku.max()) + 1)
    gallery = means.copy()
    for s in range(len(means)):
        own = queries[target == s]
        if len(own) == 0:
            continue
        keys = []
        for view in views[sku == s]:
            standing = means.copy()
            standing[s] = view
            wrong = np.delete(means, s, axis=0)
            reciprocal = np.mean([1 / _rank(q, standing, s) for q in own])
            keys.append((round(reciprocal, 9), float(np.mean([q @ view - (wrong @ q).max() for q in own]))))
        gallery[s] = views[sku == s][max(range(len(keys)), key=keys.__getitem__)]
    return gallery


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sku = rng.permutation(np.concatenate([np.arange(8), rng.integers(0, 8, 18)]))
    target = rng.integers(0, 6, 25)  # SKUs 6 and 7 have no query
    views = normalise(rng.normal(size=(26, 4))).astype(np.float32)
    queries = normalise(views[[np.flatnonzero(sku == t)[0] for t in target]] + rng.normal(size=(25, 4)))
    return views, sku, queries.astype(np.float32), target


def test_first_view_of_the_table() -> None:
    views = _unit(0, 10, 20, 30)
    np.testing.assert_array_equal(first_view(views, np.array([1, 0, 1, 0])), views[[1, 0]])


def test_halves_are_even_within_a_sku() -> None:
    target = np.array([3, 1, 3, 3, 1, 0, 3, 3])
    assert halves(target).tolist() == [0, 0, 1, 0, 1, 0, 1, 0]


def test_share_of_skus_with_one_query() -> None:
    assert only_query_share(np.array([3, 1, 3, 3, 1, 0, 7])) == 0.5


def test_oracle_equals_a_naive_loop(case: tuple[np.ndarray, ...]) -> None:
    views, sku, queries, target = case
    gallery = _naive_gallery(views, sku, queries, target)
    expected = [_rank(q, gallery, t) for q, t in zip(queries, target, strict=True)]
    assert best_view_ranks(views, sku, queries, target)[1].tolist() == expected


def test_semi_oracle_chooses_with_the_other_half_alone(case: tuple[np.ndarray, ...]) -> None:
    views, sku, queries, target = case
    half = halves(target)
    galleries = [_naive_gallery(views, sku, queries[half != h], target[half != h]) for h in (0, 1)]
    expected = [_rank(q, galleries[h], t) for q, h, t in zip(queries, half, target, strict=True)]
    semi, oracle = best_view_ranks(views, sku, queries, target)
    assert semi.tolist() == expected
    assert semi.tolist() != oracle.tolist()


def test_an_only_query_is_answered_by_the_mean() -> None:
    # SKU 0 has views at 0 and 90 degrees; its only query lies at 0, SKU 1 at 20. As its mean (45) SKU 0 loses.
    views, sku = _unit(0, 90, 20), np.array([0, 0, 1])
    semi, oracle = best_view_ranks(views, sku, _unit(0), np.array([0]))
    assert semi.tolist() == [2]
    assert oracle.tolist() == [1]


def test_two_queries_that_agree_help_each_other() -> None:
    views, sku = _unit(0, 90, 20), np.array([0, 0, 1])
    semi, _ = best_view_ranks(views, sku, _unit(0, 2), np.array([0, 0]))
    assert semi.tolist() == [1, 1]
    semi, oracle = best_view_ranks(views, sku, _unit(0, 90), np.array([0, 0]))  # two that do not
    assert semi.tolist() == [2, 2]
    assert sorted(oracle.tolist()) == [1, 2]


def test_a_single_view_is_all_there_is_to_choose() -> None:
    views = _unit(0, 30, 60)
    ranks = best_view_ranks(views, np.arange(3), _unit(5, 50, 0), np.array([0, 2, 2]))
    assert [r.tolist() for r in ranks] == [[1, 1, 3], [1, 1, 3]]
