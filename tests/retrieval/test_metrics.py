"""Ranking metrics against naive loops."""

import math

import numpy as np
import pytest

from skufp.retrieval.metrics import (
    CUTOFFS,
    item_hits,
    max_per_sku,
    per_query,
    ranks_in_blocks,
    ranks_of_target,
    summarise,
)


def _naive_rank(scores: np.ndarray, target: int) -> int:
    rank = 1
    for column, score in enumerate(scores):
        if column != target and score >= scores[target]:
            rank += 1
    return rank


def test_ranks_equal_a_naive_loop_with_many_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (30, 12)).astype(np.float32)
    target = rng.integers(0, 12, 30)
    expected = [_naive_rank(row, t) for row, t in zip(scores, target, strict=True)]
    assert ranks_of_target(scores, target).tolist() == expected


def test_constant_scores_are_the_worst_rank() -> None:
    assert ranks_of_target(np.ones((3, 7)), np.array([0, 3, 6])).tolist() == [7, 7, 7]


def test_not_a_number_never_looks_good() -> None:
    scores = np.array([[0.1, np.nan, 0.3], [np.nan, np.nan, np.nan]])
    assert ranks_of_target(scores, np.array([1, 0])).tolist() == [3, 3]


def test_rounding_errors_are_ties() -> None:
    scores = np.array([[0.5, 0.5 + 1e-7, 0.5 - 1e-7, 0.5 - 1e-4, 0.5 + 1e-4]], np.float32)
    assert ranks_of_target(scores, np.array([0])).tolist() == [4]


@pytest.mark.parametrize("block", [1, 4, 7, 100])
def test_blocks_change_nothing(block: int) -> None:
    rng = np.random.default_rng(3)
    queries, vectors, target = rng.normal(size=(13, 5)), rng.normal(size=(9, 5)), rng.integers(0, 9, 13)
    ranks = ranks_in_blocks(lambda q: q @ vectors.T, queries, target, block)
    assert ranks.tolist() == ranks_of_target(queries @ vectors.T, target).tolist()


def test_max_per_sku_equals_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    scores, sku = rng.normal(size=(6, 20)).astype(np.float32), rng.integers(0, 5, 20)
    sku[sku == 3] = 2  # SKU 3 has no item
    best = max_per_sku(scores, sku, 5)
    for q in range(6):
        for s in range(5):
            own = [scores[q, i] for i in range(20) if sku[i] == s]
            assert best[q, s] == (max(own) if own else -np.inf)


def test_max_per_sku_of_no_items() -> None:
    assert np.isneginf(max_per_sku(np.zeros((2, 0)), np.zeros(0, np.int64), 3)).all()


def test_per_query_by_hand() -> None:
    values = per_query(np.array([1, 3, 10, 11, 25]))
    assert values["recall@1"].tolist() == [1, 0, 0, 0, 0]
    assert values["recall@5"].tolist() == [1, 1, 0, 0, 0]
    assert values["recall@10"].tolist() == [1, 1, 1, 0, 0]
    assert values["recall@20"].tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(values["mrr"], [1, 1 / 3, 1 / 10, 1 / 11, 1 / 25])
    np.testing.assert_allclose(values["map"], values["mrr"])  # one relevant SKU
    np.testing.assert_allclose(values["ndcg@10"], [1, 1 / math.log2(4), 1 / math.log2(11), 0, 0])


def test_summary_is_the_mean() -> None:
    metrics = summarise(np.array([1, 2, 4]))
    assert metrics["recall@1"] == pytest.approx(1 / 3)
    assert metrics["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert set(metrics) == {f"recall@{k}" for k in CUTOFFS} | {"map", "mrr", "ndcg@10"}
    assert summarise(np.array([])) == {}


def test_item_hits_by_hand() -> None:
    scores = np.zeros((4, 30))
    relevant = np.zeros((4, 30), bool)
    scores[0] = np.arange(30)  # the best item is relevant, so is the worst
    relevant[0, [0, 29]] = True
    scores[1] = np.arange(30)  # two wrong items before the first right one
    relevant[1, [27, 3]] = True
    relevant[2, 5] = True  # all scores equal: 29 wrong items are counted before it
    hits = item_hits(scores, relevant)  # query 3 has no relevant item
    assert hits["item_hit@1"].tolist() == [1, 0, 0, 0]
    assert hits["item_hit@5"].tolist() == [1, 1, 0, 0]
    assert hits["item_hit@20"].tolist() == [1, 1, 0, 0]


def test_item_hits_equal_a_naive_loop() -> None:
    rng = np.random.default_rng(2)
    scores, relevant = rng.normal(size=(40, 50)), rng.random((40, 50)) < 0.05
    hits = item_hits(scores, relevant)
    for k in CUTOFFS:
        expected = [float(relevant[q, np.argsort(-scores[q])[:k]].any()) for q in range(40)]
        assert hits[f"item_hit@{k}"].tolist() == expected


def test_item_hits_of_scores_that_are_no_numbers_are_the_worst() -> None:
    nan = np.nan
    scores = np.array([[nan, nan, nan], [nan, 0.5, 0.4], [0.9, nan, 0.4], [nan, 0.9, nan]])
    relevant = np.array([[True, False, False]] * 3 + [[True, True, False]])
    hits = item_hits(scores, relevant)
    # 0 and 1: the relevant item is not found. 2: the NaN of a wrong item stands before it. 3: as 2; one item is found.
    assert hits["item_hit@1"].tolist() == [0, 0, 0, 0]
    assert hits["item_hit@5"].tolist() == [0, 0, 1, 1]
