"""The hard filter's verdicts: the reasons to reject a candidate as a view of its SKU, or as a counterfactual.

Legend: M candidates, measured by filter.py. A value within ROUNDING of a threshold passes.
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
    """Return the reasons to reject each candidate as a view of its SKU; "" to keep it. ``own_category`` is [M].

    NaN fails every test.
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
    """Return the reasons to reject each candidate as a hard negative of its SKU; "" to keep it.

    A negative must not be a positive: it is nearer to the SKU that it leads toward (``toward_similarity`` [M], from
    similarity_to_sku) than to its own SKU, or too far from its own SKU to be a view of it. A hard negative is nearer to
    its own SKU than views of random other SKUs, and of the same category. Its colours may differ, as siblings' do.
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
    """Return where neither picture nor structure is too near the source; a merely blurred source is a copy."""
    seen: np.ndarray = measures.source_similarity <= thresholds.copy_ceiling + ROUNDING
    return seen & (measures.structure_similarity <= thresholds.structure_ceiling + ROUNDING)


def _is_other_category(measures: Measures, own_category: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return where most neighbours are of another category and too few of the own; False without neighbours."""
    outvoted = (measures.category_found != own_category) & (measures.category_found != NONE)
    other: np.ndarray = outvoted & (measures.category_share < thresholds.category_floor - ROUNDING)
    return other


def _reasons(verdicts: dict[str, np.ndarray]) -> list[str]:
    rows = zip(*verdicts.values(), strict=True)
    return [SEPARATOR.join(reason for reason, true in zip(verdicts, row, strict=True) if true) for row in rows]
