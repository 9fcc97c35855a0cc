"""Teacher selection against a naive triple loop."""

import numpy as np
import pytest
import torch

from skufp.retrieval.representations import mean_of_views, normalise
from skufp.retrieval.teacher import (
    MEMORY,
    PairScores,
    ViewScores,
    best_views,
    block_sizes,
    random_views,
    score_pairs,
    view_scores,
)

SKUS, VIEWS, SMALL = 60, 150, 2000  # SMALL in bytes
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _case(seed: int) -> Case:
    """VIEWS views of SKUS SKUs, the last with one, and 40 queries; the last ten have none; rows in no order."""
    rng = np.random.default_rng(seed)
    sku_of_view = rng.permutation(np.concatenate([np.arange(SKUS), rng.integers(0, SKUS - 1, VIEWS - SKUS)]))
    views = normalise(rng.normal(size=(VIEWS, 5))).astype(np.float32)
    return views, sku_of_view, normalise(rng.normal(size=(40, 5))).astype(np.float32), rng.integers(0, SKUS - 10, 40)


def _naive(case: Case) -> dict[tuple[int, int], tuple[int, float]]:
    """Return {(query, view): (rank, margin)}; view -1 is the mean."""
    views, sku_of_view, queries, sku_of_query = case
    skus = int(sku_of_view.max()) + 1
    means = mean_of_views(views, sku_of_view, skus)
    result = {}
    for q, sku in enumerate(sku_of_query):
        wrong = [float(queries[q] @ means[s]) for s in range(skus) if s != sku]
        candidates = {int(v): views[v] for v in np.flatnonzero(sku_of_view == sku)} | {-1: means[sku]}
        for v, vector in candidates.items():
            own = float(queries[q] @ vector)
            result[q, v] = (1 + sum(score >= own for score in wrong), own - max(wrong))
    return result


def _all(queries: np.ndarray) -> np.ndarray:
    return np.ones(len(queries), bool)


@pytest.mark.parametrize("memory", [MEMORY, SMALL, 1])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pairs_equal_a_triple_loop(seed: int, memory: int) -> None:
    case = _case(seed)
    pairs, expected = score_pairs(*case, memory=memory), _naive(case)
    keys = list(zip(pairs.query.tolist(), pairs.view.tolist(), strict=True))
    assert keys == sorted(key for key in expected if key[1] >= 0)
    assert pairs.rank.tolist() == [expected[key][0] for key in keys]
    np.testing.assert_allclose(pairs.margin, [expected[key][1] for key in keys], atol=1e-6)
    assert pairs.rank_of_mean.tolist() == [expected[q, -1][0] for q in range(40)]


@pytest.mark.parametrize("memory", [MEMORY, 1 << 20])
@pytest.mark.parametrize(("dim", "columns"), [(5, 2), (768, 6), (1152, 65), (64, 5001)])
def test_a_block_and_a_tile_fit_the_memory(dim: int, columns: int, memory: int) -> None:
    block, tile = block_sizes(memory, dim, columns)
    assert memory / 3 < 4 * block * (3 * dim + 6 * columns) + 4 * block * 2 * tile <= memory


def test_the_small_memories_of_these_tests_make_several_blocks_and_tiles() -> None:
    block, tile = block_sizes(SMALL, 5, 7)
    assert 1 < block < 40
    assert 1 < tile < SKUS
    assert block_sizes(1, 5, 7) == (1, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_the_same() -> None:
    pairs, expected = score_pairs(*_case(0), device="cuda"), score_pairs(*_case(0))
    assert pairs.rank.tolist() == expected.rank.tolist()
    np.testing.assert_allclose(pairs.margin, expected.margin, atol=1e-6)


def test_rank_with_a_view_or_the_mean_for_each_query() -> None:
    case = _case(0)
    pairs, expected = score_pairs(*case), _naive(case)
    chosen = np.array([np.flatnonzero(case[1] == sku)[-1] if i % 3 else -1 for i, sku in enumerate(case[3])])
    assert pairs.rank_with(chosen).tolist() == [expected[q, v][0] for q, v in enumerate(chosen)]


@pytest.mark.parametrize("left_out", [None, 0, 1])
def test_view_scores_equal_a_loop_over_pairs(left_out: int | None) -> None:
    case = _case(1)
    used = np.arange(40) % 2 != left_out
    scores = view_scores(score_pairs(*case), VIEWS, used)
    pairs = _naive(case)
    for v in range(VIEWS):
        own = [pair for (q, view), pair in pairs.items() if view == v and used[q]]
        assert scores.queries[v] == len(own)
        ranks = np.array([rank for rank, _ in own], float)
        expected = {
            "rank": ranks, "reciprocal_rank": 1 / ranks, "recall_at_1": ranks <= 1, "recall_at_5": ranks <= 5,
            "recall_at_10": ranks <= 10, "margin": np.array([margin for _, margin in own]),
        }  # fmt: skip
        for name, values in expected.items():
            value = np.mean(values) if own else np.nan
            np.testing.assert_allclose(getattr(scores, name)[v], value, atol=1e-6, err_msg=name)


def test_ties_count_against_the_view() -> None:
    # Three SKUs of one identical view each: every score is equal, so every rank is the worst.
    views, queries = np.tile([[1.0, 0.0]], (3, 1)), np.array([[1.0, 0.0]])
    pairs = score_pairs(views, np.arange(3), queries, np.array([1]))
    assert pairs.rank.tolist() == pairs.rank_of_mean.tolist() == [3]
    assert pairs.margin[0] == pytest.approx(0, abs=1e-7)


def test_a_photo_that_two_skus_share_ties_whatever_the_rounding() -> None:
    # View 2i belongs to SKU i, and so does view 2i + 1, of which SKU 50 + i keeps a copy as its only view.
    rng = np.random.default_rng(0)
    own = normalise(rng.normal(size=(100, 384))).astype(np.float32)
    views = np.concatenate([own, own[1::2]])
    sku_of_view = np.concatenate([np.repeat(np.arange(50), 2), np.arange(50, 100)])
    pairs = score_pairs(views, sku_of_view, own[1::2], np.arange(50))
    assert pairs.rank[pairs.view % 2 == 1].tolist() == [2] * 50


def test_a_query_that_is_not_a_number_ranks_last() -> None:
    views, sku_of_view, queries, sku_of_query = _case(0)
    queries[3] = np.nan
    pairs = score_pairs(views, sku_of_view, queries, sku_of_query)
    assert (pairs.rank[pairs.query == 3] == SKUS).all()
    assert pairs.rank_of_mean[3] == SKUS


def test_without_another_sku_the_margin_is_to_the_lowest_cosine() -> None:
    pairs = score_pairs(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([0, 0]), np.array([[1.0, 0.0]]), np.array([0]))
    assert pairs.rank.tolist() == [1, 1]
    np.testing.assert_allclose(pairs.margin, [2.0, 1.6], atol=1e-6)


def test_the_own_mean_is_no_competitor() -> None:
    # The SKU's mean lies nearer to the query than its second view; it must not push that view's rank down.
    views = normalise(np.array([[1.0, 0.1], [0.6, 0.8], [-1.0, 0.0]]))
    pairs = score_pairs(views, np.array([0, 0, 1]), np.array([[1.0, 0.0]]), np.array([0]))
    assert pairs.rank.tolist() == [1, 1]


def test_skus_without_queries_are_nan_and_have_no_best_view() -> None:
    case = _case(0)
    scores = view_scores(score_pairs(*case), VIEWS, _all(case[2]))
    unasked = ~np.isin(case[1], case[3])
    assert (case[1][unasked] >= SKUS - 10).any()
    for name in ("rank", "reciprocal_rank", "recall_at_1", "recall_at_5", "recall_at_10", "margin"):
        assert np.array_equal(np.isnan(getattr(scores, name)), unasked), name
    assert (scores.queries[unasked] == 0).all()
    assert not best_views(scores, case[1])[unasked].any()


def test_no_queries_and_no_views() -> None:
    views, sku_of_view, _, _ = _case(0)
    nothing, nobody = np.zeros((0, 5), np.float32), np.zeros(0, np.int64)
    scores = view_scores(score_pairs(views, sku_of_view, nothing, nobody), VIEWS, np.zeros(0, bool))
    assert np.isnan(scores.rank).all()
    assert not best_views(scores, sku_of_view).any()
    assert len(score_pairs(nothing, nobody, nothing, nobody).query) == 0


def test_best_view_by_hand() -> None:
    sku = np.array([1, 0, 1, 0, 0, 2, 1])
    nan = np.nan
    scores = _scores(
        queries=[2, 1, 2, 1, 1, 0, 2],
        reciprocal_rank=[0.5, 0.2, 0.9, 1.0, 1.0, nan, 0.9],
        margin=[9.0, 8.0, 0.3, 0.1, 0.2, nan, 0.1],
    )
    # SKU 0: views 3 and 4 tie, margin decides for 4. SKU 1: views 2 and 6 tie, margin decides for 2. SKU 2: none.
    assert np.flatnonzero(best_views(scores, sku)).tolist() == [2, 4]


def _scores(queries: list[int], reciprocal_rank: list[float], margin: list[float]) -> ViewScores:
    zeros = np.zeros(len(queries))
    values = np.array(reciprocal_rank), zeros, zeros, zeros, np.array(margin)
    return ViewScores(np.array(queries), zeros, *values)


def test_the_same_ranks_in_another_order_tie() -> None:
    # View 0 has ranks 1, 3, 7, view 1 has 7, 3, 1: its sum is larger in the last bit. The margin must decide.
    rank = np.array([1, 7, 3, 3, 7, 1])
    assert (1 / 1 + 1 / 3) + 1 / 7 < (1 / 7 + 1 / 3) + 1 / 1
    pairs = PairScores(
        np.repeat(np.arange(3), 2), np.tile([0, 1], 3), rank, np.tile([0.2, 0.1], 3), np.ones(3, np.int64)
    )
    assert best_views(view_scores(pairs, 2, np.ones(3, bool)), np.zeros(2, np.int64)).tolist() == [True, False]


def test_every_asked_sku_has_exactly_one_best_and_one_random_view() -> None:
    case = _case(1)
    scores = view_scores(score_pairs(*case), VIEWS, _all(case[2]))
    for chosen in (best_views(scores, case[1]), random_views(scores, case[1], np.arange(VIEWS))):
        assert sorted(case[1][chosen]) == sorted(set(case[3]))


def test_the_random_view_is_the_lowest_draw_whatever_the_ranks() -> None:
    sku = np.array([0, 1, 0, 1, 2])
    scores = _scores([1, 1, 1, 1, 0], [0.1, 1.0, 1.0, 0.1, np.nan], [0.0, 0.9, 0.9, 0.0, np.nan])
    draw = np.array([3, 8, 5, 7, 1], np.uint64)
    assert np.flatnonzero(random_views(scores, sku, draw)).tolist() == [0, 3]
