"""Planted views with known answers: what must be caught is caught, and the planted view cannot give itself away."""

import numpy as np
import pytest

from skufp.generation.filter import FilterSettings, RealViews, Thresholds
from skufp.generation.planted import HELD_OUT, RANDOM, SIBLINGS, plant, planted_check, share
from skufp.generation.verdicts import COPY, NEARER_OTHER

SETTINGS = FilterSettings(neighbours=1)
LENIENT = Thresholds(
    own_floor=-1, margin=0.0, copy_ceiling=1.0, structure_ceiling=1.0, category_floor=0.0, colour_ceiling=1.0,
    hard_floor=0.0,
)  # fmt: skip  # judges by the margin alone


def _real(vectors: np.ndarray, sku: list[int], pair: list[int]) -> RealViews:
    count = len(sku)
    vectors = vectors.astype(np.float32)
    return RealViews(vectors, vectors, np.ones((count, 1)), np.array(sku), np.array(pair), np.ones(count, int))


def _check(real: RealViews, thresholds: Thresholds = LENIENT, count: int = 40) -> dict:
    return planted_check(real, thresholds, SETTINGS, np.random.default_rng(0), count)


# 5 pairs of 2 SKUs with 2 views each, random but for what a test says of them
SKU = [v // 2 for v in range(20)]
PAIR = [v // 4 for v in range(20)]


def test_views_of_orthogonal_skus_are_all_rejected_and_own_ones_kept() -> None:
    result = _check(_real(np.eye(10)[SKU], SKU, PAIR))
    assert result[RANDOM]["rejected"]["mean"] == 1
    assert result[RANDOM]["reasons"] == {NEARER_OTHER: 1}
    assert result[SIBLINGS]["rejected"]["mean"] == 1
    assert result[HELD_OUT]["kept"]["mean"] == 1
    assert result[HELD_OUT]["reasons"] == {}


def test_identical_siblings_cannot_be_told_apart_but_random_skus_can() -> None:
    result = _check(_real(np.eye(5)[PAIR], SKU, PAIR))
    assert result[SIBLINGS]["rejected"]["mean"] == 0
    assert result[RANDOM]["rejected"]["mean"] == 1
    assert result[HELD_OUT]["rejected"]["mean"] == 0


@pytest.mark.parametrize("ceiling", ["copy_ceiling", "structure_ceiling"])
def test_copies_among_the_real_views_count_as_the_filters_price(ceiling: str) -> None:
    strict = Thresholds(**{**LENIENT.to_dict(), ceiling: 0.9})
    result = _check(_real(np.eye(10)[SKU], SKU, PAIR), strict)
    assert result[HELD_OUT]["rejected"]["mean"] == 1
    assert result[HELD_OUT]["reasons"] == {COPY: 1}


def test_the_planted_view_does_not_give_itself_away() -> None:
    """Single-view SKUs at 0 and 30 degrees, a third opposite: without itself a planted one has only its claim near."""
    turns = np.radians([0, 30, 180])
    real = _real(np.stack([np.cos(turns), np.sin(turns)], axis=1), [0, 1, 2], [0, 0, 1])
    result = _check(real, Thresholds(**{**LENIENT.to_dict(), "own_floor": 0.0}))
    assert result[SIBLINGS]["count"] == 2
    assert result[SIBLINGS]["kept"]["mean"] == 1
    assert result[RANDOM]["rejected"]["mean"] == 1
    assert result[HELD_OUT] == {"count": 0, "rejected": None, "kept": None, "reasons": {}}


@pytest.mark.parametrize("kind", [RANDOM, SIBLINGS, HELD_OUT])
def test_plants_are_what_they_say_and_spread_over_skus(kind: str) -> None:
    rng = np.random.default_rng(1)
    real = _real(rng.normal(size=(20, 4)), SKU, PAIR)
    planted, source = plant(real, kind, rng, 15)
    assert len(planted) == 15
    assert (planted != source).all()
    same_pair, same_sku = {RANDOM: (False, False), SIBLINGS: (True, False), HELD_OUT: (True, True)}[kind]
    assert ((real.pair[planted] == real.pair[source]) == same_pair).all()
    assert ((real.sku[planted] == real.sku[source]) == same_sku).all()
    assert set(np.unique(real.sku[source], return_counts=True)[1].tolist()) == {1, 2}
    assert len(set(zip(planted.tolist(), real.sku[source].tolist(), strict=True))) == 15


def test_no_more_is_planted_than_there_is() -> None:
    real = _real(np.eye(10)[SKU], SKU, PAIR)
    planted, source = plant(real, HELD_OUT, np.random.default_rng(0), 1000)
    assert sorted(planted.tolist()) == list(range(20))
    assert (planted // 2 == source // 2).all()


def test_share_is_wilsons() -> None:
    assert share(0, 10) == pytest.approx({"mean": 0, "low": 0, "high": 0.2775}, abs=1e-4)
    assert share(5, 10) == pytest.approx({"mean": 0.5, "low": 0.2366, "high": 0.7634}, abs=1e-4)
    assert share(81, 263) == pytest.approx({"mean": 0.3080, "low": 0.2553, "high": 0.3662}, abs=1e-4)
    assert share(0, 0) is None
