"""Logistic calibration and its measures, against known answers and naive loops."""

import numpy as np
import pytest

from skufp.retrieval.confidence.calibration import RIDGE, Calibration, cross_fitted, fit
from skufp.retrieval.confidence.measures import (
    accept_threshold,
    auroc,
    calibration_error,
    false_accepts,
    reliability,
    separation,
)


def test_a_known_model_is_found_again() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (20_000, 2))
    p = 1 / (1 + np.exp(-(0.8 * x[:, 0] + 0.5 * x[:, 1] - 1.0)))
    y = rng.random(len(x)) < p
    np.testing.assert_allclose(fit(x, y).probability(x), p, atol=0.02)


def test_the_gradient_of_the_penalised_likelihood_is_zero() -> None:
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(200, 3)), rng.random(200) + 0.1
    y = rng.random(200) < 1 / (1 + np.exp(-x.sum(axis=1)))
    model = fit(x, y, weight)
    residual = weight * (model.probability(x) - y)
    standard = (x - model.mean) / model.scale
    np.testing.assert_allclose(standard.T @ residual + RIDGE * np.array(model.weights), 0, atol=1e-8)
    assert residual.sum() == pytest.approx(0, abs=1e-4)


def test_no_weight_is_negative() -> None:
    """Of two features the second speaks against: it is left out, and the first has the weight that it has alone."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(500, 2))
    y = rng.random(500) < 1 / (1 + np.exp(-(x[:, 0] - 2 * x[:, 1])))
    both, alone = fit(x, y), fit(x[:, :1], y)
    assert both.weights[1] == 0
    assert both.weights[0] == pytest.approx(alone.weights[0])
    assert both.bias == pytest.approx(alone.bias)


def test_separable_and_constant_features_have_a_solution() -> None:
    x, y = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]), np.array([False, False, True, True])
    p = fit(x, y).probability(x)
    assert np.isfinite(p).all()
    assert (np.diff(p) > 0).all()


def test_a_prior_moves_the_odds() -> None:
    model = Calibration((0.0,), (1.0,), (1.0,), 0.0)
    assert model.probability(np.array([[0.0]]), 0.2) == pytest.approx([0.2])
    assert model.probability(np.array([[np.nan]])).tolist() == [0.0]


def test_no_example_is_judged_by_a_model_that_saw_its_group() -> None:
    """Each group's feature gives its label away, and says nothing of other groups."""
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(40), 5)
    label = np.repeat(rng.random(40) < 0.5, 5)
    x = np.eye(40)[group]
    assert auroc(fit(x, label).probability(x)[label], fit(x, label).probability(x)[~label]) == 1
    found = cross_fitted(x, label, group)
    assert auroc(found[label], found[~label]) < 0.7


def test_auroc_as_a_double_loop() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 6, 30) / 6, rng.integers(0, 5, 20) / 6
    naive = np.mean([1.0 if p > n else 0.5 if p == n else 0.0 for p in a for n in b])
    assert auroc(a, b) == pytest.approx(naive)
    assert np.isnan(auroc(a, b[:0]))


@pytest.mark.parametrize(("accepted", "threshold"), [(0.5, 3.0), (0.75, 2.0), (0.76, 1.0), (1.0, 1.0)])
def test_the_threshold_is_the_highest_that_accepts_enough(accepted: float, threshold: float) -> None:
    assert accept_threshold(np.array([4.0, 1.0, 3.0, 2.0]), accepted) == threshold


def test_false_accepts_by_hand() -> None:
    assert false_accepts(np.array([4.0, 1.0, 3.0, 2.0]), np.array([0.0, 2.0, 5.0]), 0.75) == pytest.approx(2 / 3)


def test_reliability_and_its_error_by_hand() -> None:
    p, outcome = np.array([0.05, 0.06, 0.95, 1.0]), np.array([False, True, True, True])
    assert [row["examples"] for row in reliability(p, outcome)] == [2, 2]
    assert calibration_error(p, outcome) == pytest.approx((2 * abs(0.055 - 0.5) + 2 * abs(0.975 - 1.0)) / 4)


def test_intervals_resample_skus_not_queries() -> None:
    """Ten queries of one SKU are one observation: the interval of few SKUs is wide."""
    rng = np.random.default_rng(4)
    present, absent = rng.normal(1, 1, 200), rng.normal(0, 1, 200)
    many = separation(present, absent, np.arange(200), resamples=200)
    few = separation(present, absent, np.arange(200) // 50, resamples=200)
    assert (many["skus"], few["skus"]) == (200, 4)
    assert many["auroc"]["mean"] == few["auroc"]["mean"] == pytest.approx(auroc(present, absent))
    assert many["auroc"]["low"] < many["auroc"]["mean"] < many["auroc"]["high"]
