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
    assert result["fingerprint"]["minus_mean"]["mrr"] == pytest.approx(
        {"mean": expected.mean, "low": expected.low, "high": expected.high}
    )
    assert result["fingerprint"]["minus_mean"]["mrr"]["low"] >= 0  # never worse on any query
    assert "minus_mean" not in result["mean"]


def test_without_the_baseline_there_is_no_difference() -> None:
    assert "minus_mean" not in compare(_methods()[1:], SKU, 50, 0)["fingerprint"]


def test_strata_split_the_queries() -> None:
    stratum = np.array(["1", "2-3", "1", "2-3", "2-3", "2-3"])
    result = by_stratum(_methods(), stratum, SKU, 100, 0)
    assert {name: row["queries"] for name, row in result.items()} == {"1": 2, "2-3": 4}
    assert result["1"]["fingerprint"]["recall@1"] == 0.5
    assert result["2-3"]["mean"]["mrr"] == pytest.approx((1 / 2 + 1 + 1 / 3 + 1 / 30) / 4)


def test_a_stratum_says_what_the_fingerprint_gains_there() -> None:
    stratum = np.array(["a", "a", "b", "b", "b", "b"])
    result = by_stratum(_methods(), stratum, SKU, 100, 0)
    assert result["a"]["fingerprint"]["minus_mean"]["mrr"] == {"mean": 0.5, "low": 0.5, "high": 0.5}  # one SKU
    expected = interval(np.array([0, 0, 1 / 2 - 1 / 3, 1 / 20 - 1 / 30]), SKU[2:], 100, 0)
    assert result["b"]["fingerprint"]["minus_mean"]["mrr"]["mean"] == pytest.approx(expected.mean)
    assert result["b"]["fingerprint"]["minus_mean"]["mrr"]["high"] == pytest.approx(expected.high)
    assert "minus_mean" not in result["a"]["mean"]


def test_view_count_strata() -> None:
    counts = np.array([1, 2, 3, 4, 5, 6, 7, 60])
    assert view_count_stratum(counts).tolist() == ["1", "2-3", "2-3", "4-5", "4-5", "6+", "6+", "6+"]


def _ranked(first: dict[str, int], queries: int = 60) -> list[Method]:
    """Methods that answer the given number of queries first and the others third."""
    return [Method(name, np.where(np.arange(queries) < n, 1, 3), 1.0, 4.0, {}) for name, n in first.items()]


def test_share_of_the_gap_by_hand() -> None:
    methods = _ranked({"mean": 20, "multi_vector": 40, "fingerprint": 35, "medoid": 10})
    result = compare(methods, np.arange(60), resamples=500, seed=0)
    assert result["fingerprint"]["gap_closed"]["recall@1"]["mean"] == pytest.approx(15 / 20)
    assert result["medoid"]["gap_closed"]["mrr"]["mean"] == pytest.approx(-10 / 20)
    for name, share in (("mean", 0), ("multi_vector", 1)):
        expected = pytest.approx({"mean": share, "low": share, "high": share})
        assert result[name]["gap_closed"]["recall@1"] == expected


def test_share_is_a_ratio_of_resampled_means() -> None:
    methods = _ranked({"mean": 20, "multi_vector": 40, "fingerprint": 35})
    closed = compare(methods, np.arange(60), resamples=400, seed=2)["fingerprint"]["gap_closed"]["recall@1"]
    draw, shares = np.random.default_rng(2), []
    mean, many, own = ((m.ranks == 1).astype(float) for m in methods)
    for _ in range(400):
        rows = draw.integers(0, 60, 60)
        shares.append((own[rows].mean() - mean[rows].mean()) / (many[rows].mean() - mean[rows].mean()))
    low, high = np.quantile(shares, [0.025, 0.975])
    assert closed == pytest.approx({"mean": 0.75, "low": low, "high": high})


@pytest.mark.parametrize("multi_vector", [20, 22, 5])
def test_no_gap_has_no_share(multi_vector: int) -> None:
    # No difference, one of two queries in sixty (its interval holds 0), and one in the wrong direction.
    methods = _ranked({"mean": 20, "multi_vector": multi_vector, "fingerprint": 30})
    result = compare(methods, np.arange(60), resamples=500, seed=0)
    assert result["fingerprint"]["gap_closed"] == {"recall@1": None, "mrr": None}
    assert result["fingerprint"]["minus_mean"]["recall@1"]["mean"] == pytest.approx(10 / 60)


def test_without_multi_vector_there_is_no_share() -> None:
    assert compare(_methods(), SKU, 50, 0)["fingerprint"]["gap_closed"] == {"recall@1": None, "mrr": None}


def test_a_row_keeps_its_note() -> None:
    oracle = Method("best_view_oracle", np.array([1, 1, 1, 1, 1, 1]), 1.0, 4.0, {}, "oracle")
    result = compare([*_methods(), oracle], SKU, 50, 0)
    assert (result["best_view_oracle"]["note"], result["mean"]["note"]) == ("oracle", "")


def test_several_runs_count_as_the_mean_of_each_querys_values() -> None:
    rng = np.random.default_rng(0)
    runs = [[Method(n, rng.integers(1, 9, 6), 1.0, 4.0, {}) for n in ("mean", "fingerprint")] for _ in range(3)]
    joined = [
        Method(a.name, np.stack([a.ranks, b.ranks, c.ranks]), 1.0, 4.0, {}) for a, b, c in zip(*runs, strict=True)
    ]
    result = compare(joined, SKU, 100, 0)
    single = [compare(methods, SKU, 100, 0) for methods in runs]
    for name in ("mean", "fingerprint"):
        for metric in ("recall@1", "recall@5", "mrr", "ndcg@10"):
            assert result[name][metric] == pytest.approx(np.mean([row[name][metric] for row in single]))
    gain = np.mean([1 / ours.ranks - 1 / mean.ranks for mean, ours in runs], axis=0)
    expected = interval(gain, SKU, 100, 0)
    assert result["fingerprint"]["minus_mean"]["mrr"] == pytest.approx(expected.__dict__)
    stratum = by_stratum(joined, np.array(["a"] * 6), SKU, 100, 0)["a"]
    assert stratum["queries"] == 6
    assert stratum["fingerprint"]["minus_mean"]["mrr"] == pytest.approx(expected.__dict__)
