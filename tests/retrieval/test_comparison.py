"""Comparing methods on one query set."""

import numpy as np
import pytest

from skufp.retrieval.bootstrap import interval
from skufp.retrieval.comparison import Method, by_stratum, compare, view_count_stratum
from skufp.retrieval.metrics import per_query

SKU = np.array([0, 0, 1, 2, 2, 2])


def _methods() -> list[Method]:
    mean, ours = np.array([2, 2, 4, 1, 3, 30]), np.array([1, 1, 4, 1, 2, 20])
    return [Method("mean", mean, 1.0, 64.0, {}), Method("fingerprint", ours, 1.0, 64.0, {"p50_ms": 0.1})]


def test_rows_hold_means_costs_and_intervals() -> None:
    result = compare(_methods(), SKU, resamples=200, seed=3)
    row = result["fingerprint"]
    assert row["recall@1"] == pytest.approx(3 / 6)
    assert row["mrr"] == pytest.approx((1 + 1 + 1 / 4 + 1 + 1 / 2 + 1 / 20) / 6)
    assert (row["vectors_per_sku"], row["bytes_per_sku"], row["search"]) == (1.0, 64.0, {"p50_ms": 0.1})
    assert row["interval"]["recall@1"]["mean"] == pytest.approx(row["recall@1"])
    assert row["interval"]["mrr"]["low"] <= row["mrr"] <= row["interval"]["mrr"]["high"]


def test_difference_is_paired_and_resamples_skus() -> None:
    mean, ours = _methods()
    result = compare([mean, ours], SKU, resamples=200, seed=3)
    difference = per_query(ours.ranks)["mrr"] - per_query(mean.ranks)["mrr"]
    expected = interval(difference, SKU, 200, 3)
    assert result["fingerprint"]["minus_mean"]["mrr"] == {
        "mean": expected.mean, "low": expected.low, "high": expected.high,
    }  # fmt: skip
    assert result["fingerprint"]["minus_mean"]["mrr"]["low"] >= 0  # never worse on any query
    assert "minus_mean" not in result["mean"]


def test_without_the_baseline_there_is_no_difference() -> None:
    assert "minus_mean" not in compare(_methods()[1:], SKU, 50, 0)["fingerprint"]


def test_strata_split_the_queries() -> None:
    stratum = np.array(["1", "2-3", "1", "2-3", "2-3", "2-3"])
    result = by_stratum(_methods(), stratum)
    assert {name: row["queries"] for name, row in result.items()} == {"1": 2, "2-3": 4}
    assert result["1"]["fingerprint"]["recall@1"] == 0.5
    assert result["2-3"]["mean"]["mrr"] == pytest.approx((1 / 2 + 1 + 1 / 3 + 1 / 30) / 4)


def test_view_count_strata() -> None:
    counts = np.array([1, 2, 3, 4, 5, 6, 7, 60])
    assert view_count_stratum(counts).tolist() == ["1", "2-3", "2-3", "4-5", "4-5", "6+", "6+", "6+"]
