"""Latency of single queries after a warm-up."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def durations(call: Callable[[Any], Any], queries: Sequence[Any] | np.ndarray, warm: int = 5) -> np.ndarray:
    """Return [N]: milliseconds of ``call(query)`` for each of ``queries``, after ``warm`` untimed calls."""
    for i in range(warm if len(queries) else 0):
        call(queries[i % len(queries)])
    times = []
    for query in queries:
        start = time.perf_counter()
        call(query)
        times.append((time.perf_counter() - start) * 1000)
    return np.array(times)


def spread(milliseconds: np.ndarray) -> dict[str, float]:
    """Return {"p50_ms", "p95_ms"} of ``milliseconds`` [N]; empty for none."""
    if not len(milliseconds):
        return {}
    return {"p50_ms": float(np.percentile(milliseconds, 50)), "p95_ms": float(np.percentile(milliseconds, 95))}


def percentiles(call: Callable[[Any], Any], queries: Sequence[Any] | np.ndarray, warm: int = 5) -> dict[str, float]:
    """Return {"p50_ms", "p95_ms"} of ``call(query)`` over ``queries``, after ``warm`` untimed calls."""
    return spread(durations(call, queries, warm))
