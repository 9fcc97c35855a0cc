"""Teacher selection against a naive triple loop."""

import numpy as np
import pytest

from skufp.retrieval import teacher
from skufp.retrieval.representations import mean_of_views, normalise
from skufp.retrieval.teacher import ViewScores, best_views, score_views


def _naive(
    views: np.ndarray, sku_of_view: np.ndarray, queries: np.ndarray, sku_of_query: np.ndarray
) -> dict[str, np.ndarray]:
    skus = int(sku_of_view.max()) + 1
    means = mean_of_views(views, sku_of_view, skus)
    names = ("queries", "rank", "reciprocal_rank", "recall_at_1", "margin")
    result = {name: np.full(len(views), np.nan) for name in names}
    for v in range(len(views)):
        ranks, margins = [], []
        for q in range(len(queries)):
            if sku_of_query[q] != sku_of_view[v]:
                continue
            own = float(queries[q] @ views[v])
            wrong = [float(queries[q] @ means[s]) for s in range(skus) if s != sku_of_view[v]]
            ranks.append(1 + sum(score >= own for score in wrong))
            margins.append(own - max(wrong))
        result["queries"][v] = len(ranks)
        if ranks:
            result["rank"][v] = np.mean(ranks)
            result["reciprocal_rank"][v] = np.mean([1 / r for r in ranks])
            result["recall_at_1"][v] = np.mean([r == 1 for r in ranks])
            result["margin"][v] = np.mean(margins)
    return result


def _case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sku_of_view = rng.permutation(np.concatenate([np.arange(9), rng.integers(0, 9, 20)]))
    sku_of_query = rng.integers(0, 7, 40)  # SKUs 7 and 8 have no query
    return normalise(rng.normal(size=(29, 5))), sku_of_view, normalise(rng.normal(size=(40, 5))), sku_of_query


@pytest.mark.parametrize("block", [128, 7, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_a_triple_loop(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "BLOCK", block)
    case = _case(seed)
    scores, expected = score_views(*case), _naive(*case)
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(scores, name), values, atol=1e-6, err_msg=name)


def test_ties_count_against_the_view() -> None:
    # Three SKUs of one identical view each: every score is equal, so every rank is the worst.
    views, queries = np.tile([[1.0, 0.0]], (3, 1)), np.array([[1.0, 0.0]])
    scores = score_views(views, np.arange(3), queries, np.array([1]))
    assert scores.rank[1] == 3
    assert scores.recall_at_1[1] == 0
    assert scores.margin[1] == pytest.approx(0, abs=1e-7)


def test_skus_without_queries_are_nan() -> None:
    views, sku_of_view, queries, sku_of_query = _case(0)
    scores = score_views(views, sku_of_view, queries, sku_of_query)
    unasked = sku_of_view >= 7
    assert unasked.any()
    for name in ("rank", "reciprocal_rank", "recall_at_1", "margin"):
        assert np.array_equal(np.isnan(getattr(scores, name)), unasked), name
    assert (scores.queries[unasked] == 0).all()
    assert not best_views(scores, sku_of_view)[unasked].any()


def test_no_queries_at_all() -> None:
    views, sku_of_view, _, _ = _case(0)
    scores = score_views(views, sku_of_view, np.zeros((0, 5)), np.zeros(0, np.int64))
    assert np.isnan(scores.rank).all()
    assert not best_views(scores, sku_of_view).any()


def test_the_own_mean_is_no_competitor() -> None:
    # The SKU's mean lies nearer to the query than its second view; it must not push that view's rank down.
    views = normalise(np.array([[1.0, 0.1], [0.6, 0.8], [-1.0, 0.0]]))
    scores = score_views(views, np.array([0, 0, 1]), np.array([[1.0, 0.0]]), np.array([0]))
    assert scores.rank[:2].tolist() == [1, 1]


def test_best_view_by_hand() -> None:
    sku = np.array([1, 0, 1, 0, 0, 2, 1])
    nan = np.nan
    scores = ViewScores(
        queries=np.array([2, 1, 2, 1, 1, 0, 2]),
        rank=np.ones(7),
        reciprocal_rank=np.array([0.5, 0.2, 0.9, 1.0, 1.0, nan, 0.9]),
        recall_at_1=np.zeros(7),
        margin=np.array([9.0, 8.0, 0.3, 0.1, 0.2, nan, 0.1]),
    )
    # SKU 0: views 3 and 4 tie, margin decides for 4. SKU 1: views 2 and 6 tie, margin decides for 2. SKU 2: none.
    assert np.flatnonzero(best_views(scores, sku)).tolist() == [2, 4]


def test_every_asked_sku_has_exactly_one_best_view() -> None:
    case = _case(1)
    best = best_views(score_views(*case), case[1])
    assert sorted(case[1][best]) == sorted(set(case[3]))
