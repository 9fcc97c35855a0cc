"""Latency, measured warm and one query at a time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def percentiles(call: Callable[[Any], Any], queries: Sequence[Any] | np.ndarray, warm: int = 5) -> dict[str, float]:
    """Return {"p50_ms", "p95_ms"} of ``call(query)`` over ``queries``, after ``warm`` calls that do not count."""
    if not len(queries):
        return {}
    for i in range(warm):
        call(queries[i % len(queries)])
    times = []
    for query in queries:
        start = time.perf_counter()
        call(query)
        times.append((time.perf_counter() - start) * 1000)
    return {"p50_ms": float(np.percentile(times, 50)), "p95_ms": float(np.percentile(times, 95))}
