"""The hard filter's verdicts: why a candidate is not kept as a view of its SKU, or as a counterfactual.

Legend: M candidates, measured by filter.py. What equals a threshold but for ROUNDING passes.
"""

import numpy as np

from skufp.artifacts.views import SEPARATOR
from skufp.generation.filter import NONE, Measures, Thresholds
from skufp.retrieval.metrics import ROUNDING

UNLIKE_SKU = "unlike its SKU"
NEARER_OTHER = "nearer to another SKU"
COPY = "copy of its source"
OTHER_CATEGORY = "other category"
OTHER_COLOURS = "other colours"
STILL_OWN = "still its own SKU"
NOT_HARD = "too far to be a hard negative"


def judge_views(measures: Measures, own_category: np.ndarray, thresholds: Thresholds) -> list[str]:
    """Return why each candidate is not kept as a view of its SKU; "" for one that is kept. ``own_category`` is [M].

    What is not a number fails, it is not let through.
    """
    verdicts = {
        UNLIKE_SKU: ~_is_like(measures, thresholds),
        NEARER_OTHER: ~(measures.margin >= thresholds.margin - ROUNDING),
        COPY: ~_is_no_copy(measures, thresholds),
        OTHER_CATEGORY: _is_other_category(measures, own_category, thresholds),
        OTHER_COLOURS: ~(measures.colour_distance <= thresholds.colour_ceiling + ROUNDING),
    }
    return _reasons(verdicts)


def judge_counterfactuals(
    measures: Measures, toward_similarity: np.ndarray, own_category: np.ndarray, thresholds: Thresholds
) -> list[str]:
    """Return why each candidate is not kept as a hard negative of its SKU; "" for one that is kept.

    A negative must be no positive: it is nearer to the SKU that it was led to (``toward_similarity`` [M], from
    similarity_to_sku) than to its own, or too unlike its own to be a view of it. A hard one comes nearer to its own SKU
    than random other SKUs' views, and is a garment of its category. Its colours may be others: they are what makes
    many a sibling.
    """
    led_away = toward_similarity > measures.own_similarity + ROUNDING
    verdicts = {
        STILL_OWN: ~led_away & _is_like(measures, thresholds),
        NOT_HARD: ~(measures.own_similarity >= thresholds.hard_floor - ROUNDING),
        OTHER_CATEGORY: _is_other_category(measures, own_category, thresholds),
    }
    return _reasons(verdicts)


def _is_like(measures: Measures, thresholds: Thresholds) -> np.ndarray:
    like: np.ndarray = measures.own_similarity >= thresholds.own_floor - ROUNDING
    return like


def _is_no_copy(measures: Measures, thresholds: Thresholds) -> np.ndarray:
    """Say where neither the picture nor its structure is too near the source: one that is only softer is a copy."""
    seen: np.ndarray = measures.source_similarity <= thresholds.copy_ceiling + ROUNDING
    return seen & (measures.structure_similarity <= thresholds.structure_ceiling + ROUNDING)


def _is_other_category(measures: Measures, own_category: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Say where most neighbours are of another category, and too few of the own; where there are none, no."""
    outvoted = (measures.category_found != own_category) & (measures.category_found != NONE)
    other: np.ndarray = outvoted & (measures.category_share < thresholds.category_floor - ROUNDING)
    return other


def _reasons(verdicts: dict[str, np.ndarray]) -> list[str]:
    rows = zip(*verdicts.values(), strict=True)
    return [SEPARATOR.join(reason for reason, true in zip(verdicts, row, strict=True) if true) for row in rows]
