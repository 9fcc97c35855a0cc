import math

import numpy as np
import pytest

from skufp.catalogue.scoring import (
    calibration_error,
    choose_threshold,
    combine,
    fit_temperature,
    fit_weight,
    log_softmax,
    nll,
    scores_by_product,
    value_scores,
    value_vectors,
)
from skufp.errors import UserError


def test_value_vectors_are_the_mean_of_unit_prompts():
    prompts = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, -2.0]])
    vectors = value_vectors(prompts, np.array([0, 0, 1]), 2)
    assert np.allclose(vectors, [[math.sqrt(0.5), math.sqrt(0.5)], [0, -1]])


def test_scores_are_mean_cosines_at_known_angles():
    def at(*degrees: float) -> np.ndarray:
        return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])

    views, values = at(0, 60), at(0, 90)
    expected = [(1 + 0.5) / 2, (0 + math.cos(math.radians(30))) / 2]
    assert np.allclose(value_scores(views * 7, values), expected)
    many = scores_by_product(np.concatenate([views, at(90)]), np.array([1, 1, 0]), 3, values)
    assert np.allclose(many[:2], [[0, 1], expected])
    assert np.isnan(many[2]).all()


def test_log_softmax_against_the_definition():
    scores = np.array([[1.0, 2.0, 4.0]])
    expected = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    assert np.allclose(np.exp(log_softmax(scores, 0.5)), expected)
    assert np.isfinite(log_softmax(np.array([1e6, 0.0]))).all()


def test_temperature_with_a_known_answer():
    # Three of four rows are right by a margin of 1: sigmoid(1 / T) = 3 / 4, so T = 1 / ln 3.
    scores = np.array([[1.0, 0.0]] * 4)
    assert fit_temperature(scores, np.array([0, 0, 0, 1])) == pytest.approx(1 / math.log(3), rel=1e-6)


def test_temperature_is_where_no_other_does_better():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200, 5)), rng.integers(0, 5, 200)
    scores[np.arange(200), labels] += 1
    best = fit_temperature(scores, labels)
    least = nll(log_softmax(scores, best), labels)
    assert all(least <= nll(log_softmax(scores, t), labels) + 1e-12 for t in np.geomspace(0.05, 20, 200))


def test_temperature_undoes_a_scale():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4000, 4)) * 2
    labels = (log_softmax(scores) + rng.gumbel(size=scores.shape)).argmax(axis=1)  # drawn from softmax(scores)
    assert fit_temperature(scores / 50, labels) == pytest.approx(1 / 50, rel=0.1)


def test_temperature_keeps_to_its_limits_and_needs_labels():
    scores = np.array([[1.0, 0.0]] * 3)
    assert fit_temperature(scores, np.array([0, 0, 0])) == pytest.approx(1e-3)
    assert fit_temperature(scores, np.array([1, 1, 1])) == pytest.approx(1e2)
    with pytest.raises(UserError, match="nothing to calibrate on"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_an_expert_that_knows_nothing_weighs_nothing_and_the_right_one_weighs_one():
    rng = np.random.default_rng(2)
    truth = log_softmax(rng.normal(size=(3000, 3)) * 2)
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    assert fit_weight(truth, np.zeros_like(truth), labels) == 0.0
    assert fit_weight(np.zeros_like(truth), truth, labels) == pytest.approx(1.0, abs=0.1)


def test_a_product_of_experts():
    first, second = np.array([[0.6, 0.4]]), np.array([[0.2, 0.8]])
    expected = first * second**2 / (first * second**2).sum()
    assert np.allclose(np.exp(combine(np.log(first), np.log(second), 2.0)), expected)


def test_threshold_keeps_the_precision_and_as_many_rows_as_it_can():
    confidence = np.linspace(1.0, 0.01, 40)
    right = np.arange(40) % 5 != 4  # four of five, at every fifth row exactly
    right[30:] = False
    threshold = choose_threshold(confidence, right, 0.8)
    accepted = confidence >= threshold
    assert accepted.sum() == 30
    assert right[accepted].mean() >= 0.8
    longer = [right[: n + 1].mean() for n in range(accepted.sum(), 40)]
    assert max(longer) < 0.8


def test_threshold_of_equal_confidences_and_of_too_few_rows():
    assert choose_threshold(np.full(20, 0.7), np.arange(20) < 15, 0.8) == math.inf  # all or none: 75 %
    assert choose_threshold(np.full(20, 0.7), np.arange(20) < 16, 0.8) == 0.7
    assert choose_threshold(np.full(9, 0.7), np.ones(9, bool), 0.8) == math.inf
    assert choose_threshold(np.zeros(0), np.zeros(0, bool), 0.8) == math.inf


def test_calibration_error_of_known_bins():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.35, 0.35])
    right = np.array([1, 1, 1, 0, 0, 1])
    expected = (4 * abs(0.95 - 0.75) + 2 * abs(0.35 - 0.5)) / 6
    assert calibration_error(confidence, right) == pytest.approx(expected)
