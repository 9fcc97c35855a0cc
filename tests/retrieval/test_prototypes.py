"""Two prototypes per SKU: spherical 2-means from the least similar pair."""

import math

import numpy as np
import pytest

from skufp.retrieval import prototypes
from skufp.retrieval.prototypes import ROUNDS, two_prototypes
from skufp.retrieval.representations import normalise
from skufp.retrieval.sku_blocks import sku_blocks


def _unit(*degrees: float) -> np.ndarray:
    return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], np.float32)


def _naive(views: np.ndarray) -> np.ndarray:
    """Two means of one SKU's views, one view at a time."""
    pairs = [(float(views[i] @ views[j]), i, j) for i in range(len(views)) for j in range(len(views))]
    _, i, j = min(pairs)
    centres = [views[i], views[j]]
    for _ in range(ROUNDS):
        groups: list[list[np.ndarray]] = [[], []]
        for view in views:
            groups[int(view @ centres[1] > view @ centres[0])].append(view)
        centres = [normalise(np.sum(g, axis=0)) if g else c for g, c in zip(groups, centres, strict=True)]
    return np.array(centres)


def test_hand_placed_clusters() -> None:
    vectors, sku = two_prototypes(_unit(0, 100, 10, 110, 120), np.zeros(5, np.int64))
    np.testing.assert_allclose(vectors, _unit(5, 110), atol=1e-6)
    assert sku.tolist() == [0, 0]


def test_one_view_is_its_only_prototype_and_two_are_kept() -> None:
    views = _unit(10, 50, 200)
    vectors, sku = two_prototypes(views, np.array([3, 1, 3]))
    kept = {s: vectors[sku == s] for s in (1, 3)}
    np.testing.assert_allclose(kept[1], views[[1]], atol=1e-6)
    np.testing.assert_allclose(kept[3], views[[0, 2]], atol=1e-6)


def test_equal_views_leave_no_empty_prototype() -> None:
    vectors, _ = two_prototypes(np.tile(_unit(30), (4, 1)), np.zeros(4, np.int64))
    np.testing.assert_allclose(vectors, _unit(30, 30), atol=1e-6)


@pytest.mark.parametrize("most", [7, 10_000])
def test_equals_one_sku_at_a_time(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototypes, "sku_blocks", lambda sku: sku_blocks(sku, most))
    rng = np.random.default_rng(0)
    sku = rng.integers(0, 12, 70)
    views = normalise(rng.normal(size=(70, 5))).astype(np.float32)
    vectors, owner = two_prototypes(views, sku)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for s in np.unique(sku):
        own = views[sku == s]
        expected = own if len(own) == 1 else _naive(own)
        np.testing.assert_allclose(vectors[owner == s], expected, atol=1e-5)
