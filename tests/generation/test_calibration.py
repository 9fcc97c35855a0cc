"""Thresholds against a naive loop that repeats values until every SKU has equally many, and counts."""

import math
from itertools import combinations

import cv2
import numpy as np
import pytest

from skufp.errors import UserError
from skufp.generation.calibration import calibrate, real_pairs
from skufp.generation.filter import FilterSettings, RealViews
from skufp.generation.judge import Likeness
from skufp.generation.planted import planted_check

CLASSIC = Likeness(np.array([0.7, 0.9, 0.8, 0.6]), np.array([0.95, 0.5, 0.85, 0.75]))
NOTHING = Likeness(np.zeros(0), np.zeros(0))


def _real(seed: int = 0, noise: float = 0.6, skus: int = 12) -> RealViews:
    rng = np.random.default_rng(seed)
    sku = np.repeat(np.arange(skus), rng.integers(1, 5, skus))
    vectors = rng.normal(size=(skus, 8))[sku] + noise * rng.normal(size=(len(sku), 8))
    colours = (rng.random((skus, 6)) ** 3)[sku] + 0.1 * rng.random((len(sku), 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return RealViews(
        vectors, vectors[:, ::-1],
        (colours / colours.sum(axis=1, keepdims=True)).astype(np.float32), sku, sku // 3, sku % 4,
    )  # fmt: skip


def _naive_quantile(per_sku: list[list[float]], quantile: float) -> float:
    """Repeat each SKU's values until all SKUs have equally many, and count up from the least."""
    most = math.lcm(*(len(values) for values in per_sku))
    every = sorted(v for values in per_sku for v in values * (most // len(values)))
    return every[max(0, math.ceil(quantile * len(every) - 1e-9) - 1)]


@pytest.mark.parametrize("wrong_quantile", [0.4, 0.99])  # the right views set the margin, or the wrong ones
def test_thresholds_agree_with_a_naive_loop(wrong_quantile: float) -> None:
    real = _real()
    settings = FilterSettings(
        own_quantile=0.3, margin_quantile=0.2, wrong_quantile=wrong_quantile, copy_quantile=0.5, category_quantile=0.6,
        neighbours=5, colour_quantile=0.7, hard_quantile=0.35,
    )  # fmt: skip
    own, colour, margin, category = [], [], [], []
    wrong_margin, wrong_similarity = [], []
    for sku in np.unique(real.sku):
        rows = np.flatnonzero(real.sku == sku)
        others = np.flatnonzero(real.sku != sku)
        pairs = list(combinations(rows, 2))
        if pairs:
            own.append([float(real.vectors[i] @ real.vectors[j]) for i, j in pairs])
            colour.append([
                cv2.compareHist(real.colours[i], real.colours[j], cv2.HISTCMP_BHATTACHARYYA) for i, j in pairs
            ])  # fmt: skip
        to_other = [float((real.vectors[others] @ real.vectors[i]).max()) for i in rows]
        near = [others[np.argsort(-(real.vectors[others] @ real.vectors[i]))[:5]] for i in rows]
        category.append([float((real.category[n] == real.category[rows[0]]).mean()) for n in near])
        if pairs:
            to_own = [max(float(real.vectors[i] @ real.vectors[j]) for j in rows if j != i) for i in rows]
            margin.append([a - b for a, b in zip(to_own, to_other, strict=True)])
        for i in np.flatnonzero(real.pair != real.pair[rows[0]]):  # so few that every one is planted
            similarity = real.vectors @ real.vectors[i]
            wrong_similarity.append(float(similarity[rows].max()))
            wrong_margin.append(wrong_similarity[-1] - max(float(similarity[j]) for j in others if j != i))
    found = calibrate(real, CLASSIC, settings)
    right, wrong = _naive_quantile(margin, 0.2), _naive_quantile([wrong_margin], wrong_quantile)
    assert (right > wrong) == (wrong_quantile == 0.4)
    assert found.margin == pytest.approx(max(right, wrong), abs=1e-6)
    assert found.own_floor == pytest.approx(_naive_quantile(own, 0.3), abs=1e-6)
    assert found.colour_ceiling == pytest.approx(_naive_quantile(colour, 0.7), abs=1e-5)
    assert found.category_floor == pytest.approx(_naive_quantile(category, 0.6), abs=1e-6)
    assert found.hard_floor == pytest.approx(_naive_quantile([wrong_similarity], 0.35), abs=1e-6)
    assert found.copy_ceiling == 0.7
    assert found.structure_ceiling == 0.75


def test_a_sku_with_many_views_does_not_speak_for_all() -> None:
    """One SKU's ten views are all alike; three SKUs' two views are at right angles: half of the SKUs, not of pairs."""
    sku = np.array([0] * 10 + [1, 1, 2, 2, 3, 3])
    vectors = np.vstack([np.tile(np.eye(8)[0], (10, 1)), np.eye(8)[1:7]])
    real = RealViews(vectors, vectors, np.ones((16, 1)), sku, sku, sku)
    pairs, _, weight = real_pairs(real)
    assert (len(pairs.seen), weight.sum()) == (48, pytest.approx(4))
    assert calibrate(real, CLASSIC, FilterSettings(own_quantile=0.7)).own_floor == 0
    assert calibrate(real, CLASSIC, FilterSettings(own_quantile=0.8)).own_floor == 1


def test_real_pairs_by_hand() -> None:
    """Views of SKU 0 at 0, 60 and 90 degrees, of SKU 1 at 0 and 10, of SKU 2 at 5; in structure at half of that."""
    degrees = np.array([0, 0, 60, 5, 90, 10])
    sku = np.array([0, 1, 0, 2, 0, 1])
    seen, structure = (
        np.stack([np.cos(turns), np.sin(turns)], axis=1) for turns in (np.radians(degrees), np.radians(degrees / 2))
    )
    pairs, _, weight = real_pairs(RealViews(seen, structure, np.ones((6, 1)), sku, sku, sku))
    expected = {60: 1 / 3, 90: 1 / 3, 30: 1 / 3, 10: 1}
    order = np.argsort(pairs.seen)[::-1]
    assert pairs.seen[order] == pytest.approx([np.cos(np.radians(d)) for d in sorted(expected)])
    assert pairs.structure[order] == pytest.approx([np.cos(np.radians(d / 2)) for d in sorted(expected)])
    assert weight[order] == pytest.approx([expected[d] for d in sorted(expected)])


def test_the_copy_quantile_sets_both_ceilings_and_a_number_by_hand_its_own() -> None:
    found = calibrate(_real(), CLASSIC, FilterSettings(copy_quantile=0.75))
    assert (found.copy_ceiling, found.structure_ceiling) == (0.8, 0.85)
    by_hand = calibrate(_real(), CLASSIC, FilterSettings(copy_quantile=0.75, structure_ceiling=0.6))
    assert (by_hand.copy_ceiling, by_hand.structure_ceiling) == (0.8, 0.6)


@pytest.mark.parametrize(("noise", "least", "most"), [(0.3, 0.95, 1.0), (1.5, 0.87, 0.93)])
def test_wrong_pictures_are_rejected_whatever_the_judge_sees(noise: float, least: float, most: float) -> None:
    """The real views set a sharp-eyed judge's margin, wrong pictures (of another draw than these) a dim one's."""
    real = _real(noise=noise, skus=60)
    settings = FilterSettings(
        wrong_quantile=0.9, margin_quantile=0, colour_ceiling=1, own_floor=-1, copy_ceiling=1, structure_ceiling=1,
        category_floor=0,
    )  # fmt: skip
    thresholds = calibrate(real, CLASSIC, settings)
    result = planted_check(real, thresholds, settings, np.random.default_rng(5), 3000)
    assert least <= result["random"]["rejected"]["mean"] <= most
    sharper = calibrate(real, CLASSIC, FilterSettings(wrong_quantile=0.9, margin_quantile=0.9))
    assert sharper.margin > thresholds.margin


def test_numbers_by_hand_replace_what_is_measured() -> None:
    by_hand = {"own_floor": 0.1, "margin": 0.2, "copy_ceiling": 0.3, "structure_ceiling": 0.35, "category_floor": 0.4,
               "colour_ceiling": 0.5, "hard_floor": 0.6}  # fmt: skip
    assert calibrate(_real(), CLASSIC, FilterSettings(**by_hand)).to_dict() == by_hand
    measured = calibrate(_real(), CLASSIC, FilterSettings()).to_dict()
    assert calibrate(_real(), CLASSIC, FilterSettings(margin=0)).to_dict() == {**measured, "margin": 0}


def test_single_view_skus_say_what_to_type_and_typing_it_helps() -> None:
    eye = np.eye(4, dtype=np.float32)
    real = RealViews(eye, eye, np.ones((4, 1), np.float32), np.arange(4), np.arange(4), np.arange(4))
    missing = "own_floor, copy_ceiling, structure_ceiling, colour_ceiling: that takes"
    with pytest.raises(UserError, match=missing) as error:
        calibrate(real, NOTHING, FilterSettings())
    typed = dict(word.removeprefix("views.filter.").split("=") for word in str(error.value).split() if "=" in word)
    assert typed.keys() == {"own_floor", "copy_ceiling", "structure_ceiling", "colour_ceiling"}
    settings = FilterSettings(**{name: float(value) for name, value in typed.items()})
    found = calibrate(real, NOTHING, settings)
    assert (found.own_floor, found.margin) == (0.5, 0)  # wrong pictures alone set the margin
