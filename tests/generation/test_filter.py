"""Unit vectors on a circle: every reason by its angles, and measures against a naive double loop."""

import json
import math
from typing import Any

import cv2
import numpy as np
import pytest

from skufp.errors import UserError
from skufp.generation import filter as filters
from skufp.generation.filter import FilterSettings, Measures, RealViews, Thresholds, measure, similarity_to_sku
from skufp.generation.judge import Looks
from skufp.generation.verdicts import (
    COPY,
    NEARER_OTHER,
    NOT_HARD,
    OTHER_CATEGORY,
    OTHER_COLOURS,
    STILL_OWN,
    UNLIKE_SKU,
    judge_counterfactuals,
    judge_views,
)

DRESS, SKIRT = 11, 12
RED, BLUE = np.eye(2)
SETTINGS = FilterSettings(neighbours=3)


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def at(*degrees: float) -> np.ndarray:
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def looks(vectors: np.ndarray, colours: np.ndarray, structure: np.ndarray | None = None) -> Looks:
    """Where structure is not what a test is about, it is as far as can be from every view's."""
    return Looks(vectors, -np.ones_like(vectors) if structure is None else structure, colours)


# SKU 0 has views at 0 and 40 degrees; SKUs 1 and 2 are dresses too, SKU 3 is a skirt on the far side
DEGREES, SKUS = (0, 40, 100, 110, 120, 180, 190, 200), (0, 0, 1, 1, 2, 3, 3, 3)
REAL = RealViews(
    at(*DEGREES), at(*(2 * degrees for degrees in DEGREES)),
    np.stack([RED if sku == 0 else BLUE for sku in SKUS]), np.array(SKUS), np.array(SKUS) // 2,
    np.where(np.array(SKUS) == 3, SKIRT, DRESS),
)  # fmt: skip
THRESHOLDS = Thresholds(
    own_floor=cos(35), margin=0.0, copy_ceiling=cos(5), structure_ceiling=cos(10), category_floor=0.3,
    colour_ceiling=0.5, hard_floor=cos(80),
)  # fmt: skip


def _measure(degrees: float, colour: np.ndarray = RED, own: int = 0, source: int = 0, **more: Any) -> Measures:
    structure = at(more.pop("structure", 90))
    seen = looks(at(degrees), colour[None], structure)
    return measure(seen, np.array([own]), np.array([source]), REAL, SETTINGS, **more)


def _why(degrees: float, colour: np.ndarray = RED, **changes: float) -> str:
    thresholds = Thresholds(**{**THRESHOLDS.to_dict(), **changes})
    [reason] = judge_views(_measure(degrees, colour), np.array([DRESS]), thresholds)
    return reason


def test_measures_are_the_angles() -> None:
    found = _measure(30)
    assert found.own_similarity[0] == pytest.approx(cos(10))  # to the view at 40
    assert found.source_similarity[0] == pytest.approx(cos(30))  # to the source at 0
    assert found.other_similarity[0] == pytest.approx(cos(70))
    assert found.other_sku[0] == 1
    assert found.margin[0] == pytest.approx(cos(10) - cos(70))
    assert (found.category_found[0], found.category_share[0]) == (DRESS, 1)  # 100, 110 and 120 degrees
    assert found.colour_distance[0] == 0


@pytest.mark.parametrize(
    ("degrees", "colour", "changes", "reason"),
    [
        (30, RED, {}, ""),
        (-34, RED, {}, ""),
        (-36, RED, {}, UNLIKE_SKU),
        (69, RED, {}, ""),
        (71, RED, {"own_floor": -1}, NEARER_OTHER),  # 31 degrees from its own, 29 from SKU 1
        (71, RED, {"own_floor": -1, "margin": -0.1}, ""),
        (6, RED, {}, ""),
        (4, RED, {}, COPY),
        (38, RED, {}, ""),  # near another view of its SKU than its source
        (30, BLUE, {}, OTHER_COLOURS),
        (-85, RED, {"own_floor": -1, "margin": -1}, OTHER_CATEGORY),  # its neighbours are at 180, 190 and 200
        (-85, RED, {"own_floor": -1, "margin": -1, "category_floor": 0}, ""),
        (-85, BLUE, {}, "; ".join([UNLIKE_SKU, NEARER_OTHER, OTHER_CATEGORY, OTHER_COLOURS])),
    ],
)
def test_every_reason_by_its_angle(degrees: float, colour: np.ndarray, changes: Any, reason: str) -> None:
    assert _why(degrees, colour, **changes) == reason


def test_structure_similarity_is_that_to_the_source_alone() -> None:
    found = _measure(30, source=1, structure=100)  # the source is at 40 degrees, in structure at 80
    assert found.structure_similarity[0] == pytest.approx(cos(20))
    assert found.source_similarity[0] == pytest.approx(cos(10))


@pytest.mark.parametrize(
    ("degrees", "structure", "reason"),
    [
        (30, 30, ""),
        (30, 11, ""),
        (30, 9, COPY),  # far from its source at 0 as seen, but only softer
        (30, -9, COPY),
        (4, 30, COPY),
        (4, 9, COPY),  # one reason, once
    ],
)
def test_a_copy_in_either_way_is_a_copy(degrees: float, structure: float, reason: str) -> None:
    assert judge_views(_measure(degrees, structure=structure), np.array([DRESS]), THRESHOLDS) == [reason]


def test_floors_and_ceilings_themselves_are_allowed() -> None:
    found = _measure(20, structure=20)
    exactly = Thresholds(
        own_floor=found.own_similarity[0], margin=found.margin[0], copy_ceiling=found.source_similarity[0],
        structure_ceiling=found.structure_similarity[0], category_floor=found.category_share[0],
        colour_ceiling=found.colour_distance[0], hard_floor=0,
    )  # fmt: skip
    assert judge_views(found, np.array([DRESS]), exactly) == [""]


def test_what_is_not_a_number_is_not_kept() -> None:
    seen = looks(at(30) * np.nan, RED[None], at(90))
    broken = measure(seen, np.array([0]), np.array([0]), REAL, SETTINGS)
    [reason] = judge_views(broken, np.array([DRESS]), THRESHOLDS)
    assert {UNLIKE_SKU, NEARER_OTHER, COPY} <= set(reason.split("; "))
    without = _measure(30, structure=np.nan)
    assert judge_views(without, np.array([DRESS]), THRESHOLDS) == [COPY]
    assert judge_views(_measure(30, RED * np.nan), np.array([DRESS]), THRESHOLDS) == [OTHER_COLOURS]
    assert NOT_HARD in judge_counterfactuals(broken, np.array([np.nan]), np.array([DRESS]), THRESHOLDS)[0]


@pytest.mark.parametrize(
    ("degrees", "reason"),
    [
        (72, ""),  # led from 40 to 100 degrees: nearer there, and still within 80 degrees of its own
        (60, STILL_OWN),
        (38, STILL_OWN),
        (119, ""),
        (121, NOT_HARD),
        (-34, STILL_OWN),
        (-36, ""),  # not led anywhere, but no view of its SKU any more
        (190, f"{NOT_HARD}; {OTHER_CATEGORY}"),
    ],
)
def test_a_counterfactual_is_near_its_sku_and_not_of_it(degrees: float, reason: str) -> None:
    toward = similarity_to_sku(at(degrees), np.array([1]), REAL)
    assert judge_counterfactuals(_measure(degrees), toward, np.array([DRESS]), THRESHOLDS) == [reason]


def test_the_vote_is_the_nearest_categorys_when_tied() -> None:
    vectors, category = at(0, 50, 60, 70, 80), np.array([1, 2, 3, 3, 2])
    real = RealViews(vectors, vectors, np.tile(RED, (5, 1)), np.arange(5), np.arange(5), category)
    seen = looks(at(10), RED[None])
    found = measure(seen, np.array([0]), np.array([0]), real, FilterSettings(neighbours=4))
    assert (found.category_found[0], found.category_share[0]) == (2, 0)
    of_three = measure(seen, np.array([0]), np.array([0]), real, FilterSettings(neighbours=3))
    assert of_three.category_found[0] == 3


def test_a_catalogue_of_one_sku_has_no_other() -> None:
    vectors, one = at(0, 10), np.zeros(2, int)
    alone = RealViews(vectors, vectors, np.tile(RED, (2, 1)), one, one, np.full(2, DRESS))
    found = measure(looks(at(20), RED[None]), np.array([0]), np.array([0]), alone, FilterSettings())
    assert (found.other_sku[0], found.other_similarity[0], found.category_found[0]) == (-1, -1, -1)
    assert judge_views(found, np.array([DRESS]), THRESHOLDS) == [""]


def test_the_excluded_view_is_nobodys() -> None:
    itself = _measure(40, source=0, exclude=np.array([1]))
    assert itself.own_similarity[0] == pytest.approx(cos(40))
    planted = _measure(100, own=0, exclude=np.array([2]))
    assert planted.other_similarity[0] == pytest.approx(cos(10))
    last = _measure(120, own=2, source=4, exclude=np.array([4]))
    assert (last.own_similarity[0], last.colour_distance[0]) == (-1, 1)


@pytest.mark.parametrize("tile", [1, 90, 2**22])
def test_measures_agree_with_a_double_loop(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "TILE", tile)
    rng = np.random.default_rng(0)
    sku = rng.permutation(np.repeat(np.arange(9), rng.integers(1, 6, 9)))
    both, colours = rng.normal(size=(2, len(sku) + 17, 5)), rng.random((len(sku) + 17, 6)) ** 3
    vectors, structure = (both / np.linalg.norm(both, axis=2, keepdims=True)).astype(np.float32)
    colours = (colours / colours.sum(axis=1, keepdims=True)).astype(np.float32)
    n = len(sku)
    real = RealViews(vectors[:n], structure[:n], colours[:n], sku, sku // 2, sku % 3)
    source, exclude = rng.integers(0, n, 17), rng.integers(0, n, 17)
    settings = FilterSettings(neighbours=4)
    seen = Looks(vectors[n:], structure[n:], colours[n:])
    found = measure(seen, sku[source], source, real, settings, exclude)
    toward = similarity_to_sku(vectors[n:], sku[exclude], real)
    for m in range(17):
        v, c = vectors[n + m], colours[n + m]
        rows = [i for i in range(n) if i != exclude[m]]
        own = [i for i in rows if sku[i] == sku[source[m]]]
        others = sorted((i for i in rows if sku[i] != sku[source[m]]), key=lambda i, v=v: -float(v @ vectors[i]))
        voters = [int(sku[i] % 3) for i in others[:4]]
        hellinger = [cv2.compareHist(c, colours[i], cv2.HISTCMP_BHATTACHARYYA) for i in own]
        expected = {
            "own_similarity": max((v @ vectors[i] for i in own), default=-1),
            "source_similarity": v @ vectors[source[m]],
            "structure_similarity": structure[n + m] @ structure[source[m]],
            "other_similarity": v @ vectors[others[0]],
            "other_sku": sku[others[0]],
            "category_found": max(voters, key=lambda k, voters=voters: (voters.count(k), -voters.index(k))),
            "category_share": voters.count(sku[source[m]] % 3) / 4,
            "colour_distance": min(hellinger, default=1),
        }
        for name, value in expected.items():
            assert getattr(found, name)[m] == pytest.approx(value, abs=1e-5), name
        assert toward[m] == pytest.approx(max(v @ vectors[i] for i in range(n) if sku[i] == sku[exclude[m]]), abs=1e-6)


def test_no_candidates_measure_as_none() -> None:
    nothing, no_rows = np.zeros((0, 2), np.float32), np.zeros(0, int)
    found = measure(looks(nothing, nothing), no_rows, no_rows, REAL, SETTINGS)
    assert found.margin.shape == (0,)
    assert judge_views(found, no_rows, THRESHOLDS) == []
    assert similarity_to_sku(nothing, no_rows, REAL).shape == (0,)


def test_thresholds_survive_json() -> None:
    assert Thresholds.from_dict(json.loads(json.dumps(THRESHOLDS.to_dict()))) == THRESHOLDS


@pytest.mark.parametrize(("name", "value"), [("own_quantile", 1.2), ("copy_quantile", -0.1), ("neighbours", 0)])
def test_settings_that_mean_nothing_name_what_to_type(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"views\.filter\.{name}={value}"):
        FilterSettings(**{name: value})  # type: ignore[arg-type]
