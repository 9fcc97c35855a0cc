"""Latency: what is called how often, and what comes back."""

import numpy as np

from skufp.retrieval.latency import percentiles


def test_keys_calls_and_order() -> None:
    calls: list[int] = []
    result = percentiles(calls.append, [10, 20, 30], warm=4)
    assert set(result) == {"p50_ms", "p95_ms"}
    assert 0 <= result["p50_ms"] <= result["p95_ms"]
    assert calls == [10, 20, 30, 10, 10, 20, 30]  # four warm calls, then each query once


def test_rows_of_an_array_are_queries() -> None:
    shapes: list[tuple[int, ...]] = []
    percentiles(lambda q: shapes.append(q.shape), np.zeros((3, 4)), warm=0)
    assert shapes == [(4,)] * 3


def test_no_queries_no_latency() -> None:
    assert percentiles(lambda q: q, []) == {}
