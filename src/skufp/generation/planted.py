"""A check of the filter on planted views: real views that are judged as if they were generated.

A real view of another SKU is certainly wrong: the share rejected is the filter's benefit. Another real view of the SKU
itself is certainly right: the share rejected is the filter's cost.

Legend: N real views, P planted ones.
"""

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from skufp.artifacts.views import SEPARATOR
from skufp.generation.filter import FilterSettings, Measures, RealViews, Thresholds, measure
from skufp.generation.verdicts import judge_views
from skufp.retrieval.bootstrap import Interval

KINDS = RANDOM, SIBLINGS, HELD_OUT = "random", "siblings", "held_out"


def planted_check(
    real: RealViews, thresholds: Thresholds, settings: FilterSettings, rng: np.random.Generator, count: int
) -> dict[str, dict[str, Any]]:
    """Judge up to ``count`` planted views of each kind; a planted view is left out of its own comparison.

    - ``random``: a view of a SKU of another pair, of any category (wrong).
    - ``siblings``: a view of another SKU of the same pair (wrong).
    - ``held_out``: another view of the SKU itself (right).

    Each has ``count``; ``rejected`` and ``kept``, each a share with its 95 % interval {mean, low, high} (None where
    nothing could be planted); and ``reasons``, the share of views rejected for each reason (one view may have several).
    """
    return {kind: _judged(real, *plant(real, kind, rng, count), thresholds, settings) for kind in KINDS}


def plant(real: RealViews, kind: str, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [P] of planted views, and of each one's source: a random view of the SKU that it is planted under.

    Every SKU gets about as many, and no view twice; so there may be fewer than ``count``.
    """
    own, pair = _size_of_group(real.sku), _size_of_group(real.pair)
    partners = {RANDOM: len(real) - pair, SIBLINGS: pair - own, HELD_OUT: own - 1}[kind]
    skus = rng.permutation(np.unique(real.sku[partners > 0]))
    drawn = []
    for i, sku in enumerate(skus):
        quota = count * (i + 1) // len(skus) - count * i // len(skus)
        if not quota:
            continue
        mine = np.flatnonzero(real.sku == sku)
        in_pair = real.pair == real.pair[mine[0]]
        wanted = {RANDOM: ~in_pair, SIBLINGS: in_pair & (real.sku != sku), HELD_OUT: real.sku == sku}[kind]
        rows = np.flatnonzero(wanted)
        for planted in rng.choice(rows, min(len(rows), quota), replace=False):
            drawn.append((planted, rng.choice(mine[mine != planted])))
    planted_and_source = np.array(drawn, np.int64).reshape(-1, 2)
    return planted_and_source[:, 0], planted_and_source[:, 1]


def _size_of_group(group: np.ndarray) -> np.ndarray:
    """Return for every view [N] the number of views in its group."""
    _, number, size = np.unique(group, return_inverse=True, return_counts=True)
    found: np.ndarray = size[number]
    return found


def measure_planted(real: RealViews, planted: np.ndarray, source: np.ndarray, settings: FilterSettings) -> Measures:
    """Measure planted views [P] as views of their source's SKU; each is left out of the real views."""
    return measure(real.looks(planted), real.sku[source], source, real, settings, exclude=planted)


def _judged(
    real: RealViews, planted: np.ndarray, source: np.ndarray, thresholds: Thresholds, settings: FilterSettings
) -> dict[str, Any]:
    reasons = judge_views(measure_planted(real, planted, source, settings), real.category[source], thresholds)
    times = Counter(reason for given in reasons if given for reason in given.split(SEPARATOR))
    kept = reasons.count("")
    return {
        "count": len(reasons),
        "rejected": share(len(reasons) - kept, len(reasons)),
        "kept": share(kept, len(reasons)),
        "reasons": {reason: number / len(reasons) for reason, number in times.most_common()},
    }


def share(successes: int, count: int, z: float = 1.96) -> dict[str, float] | None:
    """Return {mean, low, high} of a share with Wilson's score interval (JASA 22, 1927); None if ``count`` is 0."""
    if not count:
        return None
    mean = successes / count
    centre = (mean + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(mean * (1 - mean) / count + z**2 / (4 * count**2))
    return asdict(Interval(mean, float(max(centre - half, 0)), float(min(centre + half, 1))))
