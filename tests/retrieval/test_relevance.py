"""Relevance of similar items, against naive double loops and hand-placed angles."""

import math

import numpy as np
import pytest

from skufp.retrieval import relevance as module
from skufp.retrieval.relevance import CUTOFF, relevance, similar_items


def _vectors(count: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _naive_neighbours(vectors: np.ndarray, sku: int, k: int, among: list[int]) -> list[int]:
    scored = [(-float(vectors[sku] @ vectors[other]), other) for other in among if other != sku]
    return [other for _, other in sorted(scored)[:k]]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 40])
def test_similar_items_are_the_nearest_others(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    vectors = _vectors(count).astype(np.float64)
    found = similar_items(vectors)
    assert found.shape == (count, min(CUTOFF, count - 1))
    for sku in range(count):
        assert found[sku].tolist() == _naive_neighbours(vectors, sku, CUTOFF, list(range(count)))


def test_shares_chance_and_possible_as_by_double_loop() -> None:
    rng = np.random.default_rng(3)
    methods = {"fingerprint": _vectors(60, seed=1), "mean": _vectors(60, seed=2)}
    label = [None if i % 7 == 0 else int(rng.integers(0, 12)) for i in range(60)]
    found = relevance(methods, label, 20, 0)
    known = [i for i in range(60) if label[i] is not None]
    shares: dict[str, list[float]] = {name: [] for name in methods}
    chance, possible = [], []
    for sku in known:
        relevant = [other for other in known if other != sku and label[other] == label[sku]]
        if not relevant:
            continue
        chance.append(len(relevant) / (len(known) - 1))
        possible.append(min(5, len(relevant)) / 5)
        for name, vectors in methods.items():
            answers = _naive_neighbours(vectors, sku, 5, known)
            shares[name].append(sum(a in relevant for a in answers) / 5)
    assert (found["skus"], found["of"]) == (len(chance), len(known))
    assert found["chance"] == pytest.approx(np.mean(chance))
    assert found["possible"] == pytest.approx(np.mean(possible))
    for name, share in shares.items():
        assert found[name]["mean"] == pytest.approx(np.mean(share))
        assert found[name]["low"] <= found[name]["mean"] <= found[name]["high"]
    gain = np.mean(shares["fingerprint"]) - np.mean(shares["mean"])
    assert found["minus_mean"]["fingerprint"]["mean"] == pytest.approx(gain)


def test_hand_placed_angles() -> None:
    # Seven SKUs on a quarter circle; the reds lie side by side, but for one at the far end.
    angles = [0, 5, 10, 15, 60, 70, 90]
    label = ["red", "red", "red", "blue", "blue", "blue", "red"]
    vectors = np.array([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in angles])
    # Five of six others: each leaves out only the farthest.
    # 0, 5, 10: leave out the red at 90: 2 of 5. 15: leaves out 90: 2 of 5. 60, 70: leave out the red at 0: 2 of 5.
    # 90 leaves out the red at 0: 2 of 5.
    found = relevance({"mean": vectors}, label, 10, 0)
    assert found["mean"]["mean"] == pytest.approx(2 / 5)
    assert found["possible"] == pytest.approx((4 * 3 / 5 + 3 * 2 / 5) / 7)
    assert found["chance"] == pytest.approx((4 * 3 / 6 + 3 * 2 / 6) / 7)
    assert found["minus_mean"] == {}


def test_a_label_of_ones_own_is_not_asked_for_but_stays_an_answer() -> None:
    vectors = _vectors(4)
    found = relevance({"mean": vectors}, ["a", "a", "b", "c"], 10, 0)
    assert (found["skus"], found["of"]) == (2, 4)
    assert found["mean"]["mean"] == pytest.approx(1 / 3)  # of three others each, one is relevant
    assert found["chance"] == found["possible"] == pytest.approx(1 / 3)


def test_perfect_groups_reach_what_is_possible() -> None:
    centres = np.repeat(np.eye(8), 3, axis=0)
    found = relevance({"mean": centres}, [i // 3 for i in range(24)], 10, 0)
    assert found["mean"]["mean"] == pytest.approx(2 / 5) == found["possible"]


@pytest.mark.parametrize("label", [[], ["a"], ["a", "b"], [None, None], ["a", None]])
def test_nothing_to_ask(label: list[str | None]) -> None:
    assert relevance({"mean": _vectors(len(label))}, label, 10, 0) == {}


def test_a_vector_that_is_no_number_is_similar_to_nothing() -> None:
    vectors = np.full((6, 4), np.nan)
    found = relevance({"broken": vectors}, ["a", "a", "a", "b", "b", "b"], resamples=10, seed=0)
    assert found["broken"]["mean"] == 0
