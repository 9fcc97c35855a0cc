"""The sign-flip test: by naive loops over patterns, and how often chance alone is taken for a gain."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from skufp.retrieval.sign_flip import PATTERNS, gain_p, proof_p

RATE, DRAWS, POPULATION = 0.05, 300, 20000


def _naive(gains: list[float], group: list[str]) -> float:
    """The share of sign patterns of the groups whose total is at least the observed one."""
    names = sorted(set(group))
    reached = 0
    for signs in itertools.product((1, -1), repeat=len(names)):
        sign = dict(zip(names, signs, strict=True))
        total = math.fsum(sign[name] * gain for name, gain in zip(group, gains, strict=True))
        reached += total >= math.fsum(gains) - 1e-12
    return reached / 2 ** len(names)


@pytest.mark.parametrize("groups", [1, 2, 5, 9])
def test_all_patterns_against_a_naive_loop(groups: int) -> None:
    rng = np.random.default_rng(groups)
    for _ in range(20):
        group = rng.integers(0, groups, 12).astype(str).tolist()
        gains = np.round(rng.normal(size=12), 1).tolist()
        assert gain_p(np.array(gains), np.array(group)) == pytest.approx(_naive(gains, group))


def test_drawn_patterns_come_near_to_all_patterns() -> None:
    gains = np.round(np.random.default_rng(3).normal(0.25, 1, 16), 1)
    group = np.arange(16)
    expected = _naive(gains.tolist(), group.astype(str).tolist())
    assert 0.05 < expected < 0.5
    assert gain_p(gains, group) == pytest.approx(expected, abs=4 * (expected / PATTERNS) ** 0.5)
    assert gain_p(gains, group) == gain_p(gains, group)


def test_known_answers() -> None:
    one_among_many = np.array([0.9] + [0.0] * 30)
    assert gain_p(one_among_many, np.arange(31)) == 0.5
    assert gain_p(np.full(4, 0.1), np.arange(4)) == 1 / 16
    assert gain_p(np.full(4, 0.1), np.array(["a", "a", "b", "b"])) == 1 / 4
    assert gain_p(np.array([0.5, -0.5]), np.arange(2)) == 3 / 4
    assert gain_p(np.zeros(9), np.arange(9)) == 1
    assert gain_p(np.zeros(0), np.arange(0)) == proof_p(np.zeros(0), np.zeros(0), np.arange(0)) == 1


def test_a_proof_is_the_test_with_one_more_group_that_loses_what_groups_have_on_average() -> None:
    gains, before = np.array([0.5, 0.25, 0.5, 0.0]), np.array([0.25, 0.5, 0.5, 1.0])
    group = ["a", "a", "b", "c"]  # what they have: 0.75, 0.5, 1
    expected = _naive([*gains.tolist(), -0.75], [*group, "unseen"])
    assert proof_p(gains, before, np.array(group)) == pytest.approx(expected)
    assert expected > gain_p(gains, np.array(group))


# ---- The rate of false proofs: catalogues without a true gain ----

Sampler = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]  # groups -> gains, before and group of queries


def _catalogue(rng: np.random.Generator, unchanged: float, falls: float, climbs: float, worse: float | None) -> Sampler:
    """Return draws of groups from a large catalogue of known mean gain: 0 where ``worse`` is None.

    A group has 1 to 6 queries, of which 45 % rank first. A share ``unchanged`` of the groups keeps its ranks; of the
    others a share ``worse`` has ranks grow by factors of 1 + ``falls`` · Exp(1), the rest has them shrink by
    1 + ``climbs`` · Exp(1). Where that is None it is chosen so that the mean gain of the whole catalogue is 0.
    """
    count = np.minimum(rng.geometric(0.5, POPULATION), 6)
    group = np.repeat(np.arange(POPULATION), count)
    rank = np.where(rng.random(len(group)) < 0.45, 1, 1 + rng.geometric(0.15, len(group)))
    touched = rng.random(len(group)) < 0.7
    worst, best = (rng.exponential(scale, len(group)) for scale in (falls, climbs))
    lost = touched * (1 / np.ceil(rank * (1 + worst)) - 1 / rank)
    won = touched * (1 / np.maximum(1, np.floor(rank / (1 + best))) - 1 / rank)
    stays = rng.random(POPULATION) < unchanged
    if worse is None:
        worse = won[~stays[group]].sum() / (won - lost)[~stays[group]].sum()
    falling = (rng.random(POPULATION) < worse)[group]
    gains = np.where(stays[group], 0.0, np.where(falling, lost, won))
    starts = np.cumsum(count) - count

    def draw(groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chosen = rng.integers(0, POPULATION, groups)
        queries = np.concatenate([np.arange(starts[i], starts[i] + count[i]) for i in chosen])
        return gains[queries], 1 / rank[queries], np.repeat(np.arange(groups), count[chosen])

    return draw


def _rate(draw: Sampler, groups: int, test: str) -> float:
    samples = (draw(groups) for _ in range(DRAWS))
    p = [proof_p(g, b, own) if test == "proof" else gain_p(g, own) for g, b, own in samples]
    return float((np.array(p) <= RATE).mean())


@pytest.fixture(autouse=True)
def _fewer_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the patterns: the rates do not need more."""
    monkeypatch.setattr("skufp.retrieval.sign_flip.PATTERNS", 999)


NULLS = {  # unchanged, falls, climbs
    "both ways alike": (0.5, 1.0, 1.0),
    "many little gains, rare large losses": (0.5, 10.0, 0.5),
    "the same, extreme": (0.3, 20.0, 0.25),
    "many little losses, rare large gains": (0.5, 0.5, 10.0),
    "nine in ten unchanged": (0.9, 2.0, 2.0),
}
HIGHEST = RATE + 2.6 * (RATE * (1 - RATE) / DRAWS) ** 0.5  # the binomial 99.5 % point


@pytest.mark.parametrize("groups", [8, 20, 60, 400])
@pytest.mark.parametrize("null", NULLS.values(), ids=NULLS)
def test_no_more_false_proofs_than_stated(null: tuple[float, float, float], groups: int) -> None:
    draw = _catalogue(np.random.default_rng([groups, int(10 * null[1])]), *null, None)
    assert _rate(draw, groups, "proof") <= HIGHEST


def test_without_the_unseen_loss_skewed_gains_are_proven_falsely() -> None:
    draw = _catalogue(np.random.default_rng(0), *NULLS["the same, extreme"], None)
    assert _rate(draw, 20, "gain") > 2 * HIGHEST


def test_a_symmetric_null_is_rejected_at_the_stated_rate() -> None:
    """Gains between two draws of one kind: the plain test is exact up to the patterns that tie."""
    rng = np.random.default_rng(5)
    p = [gain_p(rng.choice([-0.5, 0.0, 0.0, 0.5], 60) * rng.exponential(1, 60), np.arange(60)) for _ in range(1500)]
    assert abs(float((np.array(p) <= RATE).mean()) - RATE) < 2.6 * (RATE * (1 - RATE) / 1500) ** 0.5


def test_a_true_gain_is_found() -> None:
    draw = _catalogue(np.random.default_rng(1), *NULLS["both ways alike"], 0.1)
    assert _rate(draw, 150, "proof") > 0.8
