"""The adapter: against numpy.linalg.lstsq, against planted maps, and what an infinite ridge leaves."""

from pathlib import Path

import numpy as np
import pytest

from skufp.models.adapter import Adapter

RNG = np.random.default_rng(0)


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


QUERIES = unit(RNG.normal(size=(60, 6)))
TARGETS = unit(RNG.normal(size=(60, 6)))


@pytest.mark.parametrize("ridge", [1e-9, 0.5, 20.0])
def test_the_fit_is_least_squares_with_the_penalty_as_further_rows(ridge: float) -> None:
    penalty = np.sqrt(ridge * len(QUERIES) / 6)
    x = np.concatenate([np.c_[QUERIES, np.ones(60)], penalty * np.eye(7)])
    y = np.concatenate([TARGETS - QUERIES, np.zeros((7, 6))])
    expected = np.linalg.lstsq(x.astype(np.float64), y, rcond=None)[0]
    adapter = Adapter.fit(QUERIES, TARGETS, ridge)
    np.testing.assert_allclose(adapter.weight, expected[:-1].T, atol=1e-6)
    np.testing.assert_allclose(adapter.bias, expected[-1], atol=1e-6)
    assert adapter.weight.dtype == adapter.bias.dtype == np.float32


def test_a_planted_map_is_recovered_and_holds_for_queries_never_seen() -> None:
    weight, bias = 0.3 * RNG.normal(size=(6, 6)), 0.2 * RNG.normal(size=6)
    asked = unit(RNG.normal(size=(300, 6)))
    adapter = Adapter.fit(asked[:200], asked[:200] + asked[:200] @ weight.T + bias, 1e-9)
    np.testing.assert_allclose(adapter.weight, weight, atol=1e-4)
    np.testing.assert_allclose(adapter.bias, bias, atol=1e-4)
    expected = unit(asked[200:] + asked[200:] @ weight.T + bias)
    np.testing.assert_allclose(adapter(asked[200:]), expected, atol=1e-4)
    np.testing.assert_allclose(adapter(asked[200]), expected[0], atol=1e-4)


def test_a_ridge_means_the_same_for_few_queries_and_many() -> None:
    few = Adapter.fit(QUERIES, TARGETS, 2.0)
    many = Adapter.fit(np.tile(QUERIES, (7, 1)), np.tile(TARGETS, (7, 1)), 2.0)
    np.testing.assert_allclose(many.weight, few.weight, atol=1e-6)


def test_a_stronger_ridge_moves_less_and_an_infinite_one_not_at_all() -> None:
    sizes = [float(np.linalg.norm(Adapter.fit(QUERIES, TARGETS, r)(QUERIES) - QUERIES)) for r in (0.1, 1, 10, 1e3, 1e6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1 > 1e-3 > sizes[-1] > 0
    assert Adapter.fit(QUERIES, TARGETS, None)(QUERIES) is QUERIES  # not even rounding


def test_without_queries_nothing_changes() -> None:
    adapter = Adapter.fit(QUERIES[:0], TARGETS[:0], 1.0)
    assert adapter.weight.shape == (6, 6)
    assert not adapter.weight.any()
    assert not adapter.bias.any()


def test_moved_queries_have_unit_norm_and_targets_are_nearer() -> None:
    moved = Adapter.fit(QUERIES, TARGETS, 0.01)(QUERIES)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    assert (moved * TARGETS).sum() > (QUERIES * TARGETS).sum()


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    adapter = Adapter.fit(QUERIES, TARGETS, 0.5)
    adapter.save(tmp_path)
    loaded = Adapter.load(tmp_path)
    np.testing.assert_array_equal(loaded.weight, adapter.weight)
    np.testing.assert_array_equal(loaded.bias, adapter.bias)
