"""The filter's thresholds, measured on real views.

Legend: N real views, P pairs of two views of one SKU, A classic augmentations.
"""

import numpy as np

from skufp.errors import UserError
from skufp.generation.filter import NONE, FilterSettings, RealViews, Thresholds, measure
from skufp.generation.judge import Likeness, colour_distance
from skufp.generation.planted import RANDOM, measure_planted, plant
from skufp.retrieval.sku_blocks import sku_blocks

WRONG = 2000  # real views planted under a random other SKU
EXAMPLES = {
    "own_floor": 0.5, "margin": 0, "copy_ceiling": 0.95, "structure_ceiling": 0.95, "category_floor": 0,
    "colour_ceiling": 0.5, "hard_floor": 0.5,
}  # fmt: skip


def calibrate(real: RealViews, classic: Likeness, settings: FilterSettings, seed: int = 0) -> Thresholds:
    """Return thresholds from real views and from the likeness [A] of classic augmentations to their source.

    Quantiles weigh every SKU equally, since a SKU with ten views has 45 pairs of views. ``seed`` draws the wrong
    pictures. Raises UserError where a threshold has neither data for its quantile nor a number in the settings.
    """
    pairs, distance, per_pair = real_pairs(real)
    _, sku, views = np.unique(real.sku, return_inverse=True, return_counts=True)
    per_view = 1 / views[sku]
    itself = np.arange(len(real))
    seen = measure(real.looks(itself), real.sku, itself, real, settings, exclude=itself)
    compared = seen.other_sku != NONE
    right = compared & (views[sku] > 1)
    wrong = measure_planted(real, *plant(real, RANDOM, np.random.default_rng(seed), WRONG), settings)
    margins = (
        _quantile(seen.margin[right], settings.margin_quantile, per_view[right]),
        _quantile(wrong.margin, settings.wrong_quantile),
    )
    taken = {
        "own_floor": _quantile(pairs.seen, settings.own_quantile, per_pair),
        "margin": max((margin for margin in margins if margin is not None), default=None),
        "copy_ceiling": _quantile(classic.seen, settings.copy_quantile),
        "structure_ceiling": _quantile(classic.structure, settings.copy_quantile),
        "category_floor": _quantile(seen.category_share[compared], settings.category_quantile, per_view[compared]),
        "colour_ceiling": _quantile(distance, settings.colour_quantile, per_pair),
        "hard_floor": _quantile(wrong.own_similarity, settings.hard_quantile),
    }
    return _complete(
        {name: value if (hand := getattr(settings, name)) is None else hand for name, value in taken.items()}
    )


def real_pairs(real: RealViews) -> tuple[Likeness, np.ndarray, np.ndarray]:
    """Return likeness, colour distance and weight [P] of every pair of views of one SKU; a SKU's weights sum to 1."""
    none = np.zeros(0, np.float32)
    seen, structure, distance, weight = [none], [none], [none], [none]
    for _, rows in sku_blocks(real.sku):
        i, j = np.triu_indices(rows.shape[1], 1)
        looks = real.looks(rows)  # [B, V, D] and [B, V, K]
        seen.append((looks.vectors @ looks.vectors.swapaxes(1, 2))[:, i, j].ravel())
        structure.append((looks.structure @ looks.structure.swapaxes(1, 2))[:, i, j].ravel())
        distance.append(colour_distance(looks.colours, looks.colours)[:, i, j].ravel())
        weight.append(np.full(len(rows) * len(i), 1 / max(len(i), 1)))
    pairs = Likeness(np.concatenate(seen), np.concatenate(structure))
    return pairs, np.concatenate(distance), np.concatenate(weight)


def _quantile(values: np.ndarray, quantile: float, weights: np.ndarray | None = None) -> float | None:
    """Return the weighted ``quantile`` of ``values``; None if there are none."""
    if not len(values):
        return None
    return float(np.quantile(np.asarray(values, float), quantile, weights=weights, method="inverted_cdf"))


def _complete(taken: dict[str, float | None]) -> Thresholds:
    known = {name: float(value) for name, value in taken.items() if value is not None}
    if missing := [name for name in taken if name not in known]:
        raise UserError(
            f"the filter cannot measure {', '.join(missing)}: that takes a SKU with two catalogue views, a SKU of"
            " another pair, and classic augmentations. Set the missing thresholds, e.g. "
            + " ".join(f"views.filter.{name}={EXAMPLES[name]}" for name in missing)
        )
    return Thresholds(**known)
