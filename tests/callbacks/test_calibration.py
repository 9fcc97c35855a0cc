"""The threshold: by brute force on hand-made lists, and how often luck alone would act."""

import math

import numpy as np
import pytest

from skufp.callbacks.calibration import Calibration, PolicyCalibration, calibrate
from skufp.errors import UserError
from skufp.retrieval.bootstrap import standard_error


def _brute_force(predicted: list[float], realised: list[float]) -> tuple[float, float]:
    """The best threshold and its mean gain, largest threshold first."""
    best, found = 0.0, math.nan
    for threshold in sorted({0.0, *(p for p in predicted if p > 0)}, reverse=True):
        total = sum(r for p, r in zip(predicted, realised, strict=True) if p > threshold)
        if math.isnan(found) or total > best + 1e-12:
            best, found = total, threshold
    return found, best / len(predicted)


def _alone(predicted: list[float], realised: list[float], caution: float = 0.0) -> Calibration:
    """Every query asks for a SKU of its own."""
    names = np.arange(len(predicted)).astype(str)
    return calibrate(np.array(predicted), np.array(realised), names, caution)


def test_a_hand_made_list() -> None:
    #   above 0.5: 1.0; above 0.4: 0.7; above 0.2: 1.9; above 0.1: 1.9 - 2
    predicted, realised = [0.9, 0.5, 0.4, 0.2, 0.0, -0.3], [1.0, -0.3, 1.2, -2.0, 9.0, 9.0]
    found = _alone(predicted, realised)
    assert found.best_threshold == 0.2
    assert found.threshold == math.inf  # six SKUs are too few to believe
    assert _alone(predicted * 2, realised * 2).threshold == 0.2
    assert found.gain == pytest.approx(1.9 / 6)
    assert found.act_rate == pytest.approx(3 / 6)
    assert (found.queries, found.skus) == (6, 6)
    assert found.standard_error == pytest.approx(standard_error(np.array([1.0, -0.3, 1.2, 0, 0, 0]), np.arange(6)))


def test_random_lists_as_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        predicted = np.round(rng.normal(size=rng.integers(1, 30)), 1)  # ties and losses among them
        realised = np.round(rng.normal(size=len(predicted)), 2)
        found = _alone(predicted.tolist(), realised.tolist())
        threshold, gain = _brute_force(predicted.tolist(), realised.tolist())
        assert found.best_threshold == threshold
        assert found.gain == pytest.approx(gain, abs=1e-12)


def test_tied_predictions_act_together_or_not_at_all() -> None:
    found = _alone([0.5, 0.5, 0.5], [3.0, -1.0, -1.0])
    assert found.gain == pytest.approx(1 / 3)
    assert found.act_rate == 1
    assert _alone([0.5, 0.5, 0.5], [3.0, -2.0, -2.0]).best_threshold == 0.5  # none is above it


@pytest.mark.parametrize("realised", [[-1.0] * 20, [0.0] * 20])
def test_where_nothing_helps_nothing_is_done(realised: list[float]) -> None:
    found = _alone([0.9, 0.5, 0.4, 0.2] * 5, realised)
    assert (found.threshold, found.act_rate, found.gain) == (math.inf, 0.0, 0.0)


def test_what_is_no_number_promises_nothing() -> None:
    found = _alone([math.nan, 0.5, 0.4], [5.0, 1.0, -1.0])
    assert found.best_threshold == 0.4
    assert found.gain == pytest.approx(1 / 3)


def test_no_queries_at_all() -> None:
    found = calibrate(np.zeros(0), np.zeros(0), np.zeros(0, "<U1"), 2.0)
    assert (found.threshold, found.queries, found.skus, found.gain) == (math.inf, 0, 0, 0.0)


def test_the_gain_must_exceed_its_error_over_skus() -> None:
    predicted, realised = np.full(40, 0.5), np.tile([1.0, 0.6], 20)
    many, few = np.arange(40).astype(str), np.repeat(["a", "b"], 20)
    assert calibrate(predicted, realised, many, 2.0).threshold == 0
    assert calibrate(predicted, realised, np.full(40, "a"), 2.0).threshold == math.inf  # one SKU tells nothing
    realised = np.repeat([1.0, -0.4], 20)
    assert calibrate(predicted, realised, many, 2.0).threshold == 0
    assert calibrate(predicted, realised, few, 2.0).threshold == math.inf  # the same gain, but of one SKU in two


def test_luck_alone_acts_as_seldom_as_promised() -> None:
    """Predictions that know nothing, effects of mean 0, the worst case: at most exp(-caution² / 2), plus chance."""
    rng, trials = np.random.default_rng(1), 400
    acts = {1.0: 0, 2.0: 0, PolicyCalibration(0.05).caution: 0}
    for _ in range(trials):
        predicted, realised = rng.random(150), rng.normal(0, 0.6, 150) * (rng.random(150) < 0.6)
        for caution in acts:
            acts[caution] += math.isfinite(_alone(predicted.tolist(), realised.tolist(), caution).threshold)
    assert 0.35 < acts[1.0] / trials < math.exp(-1 / 2)  # why one standard error is not enough
    assert acts[2.0] / trials < math.exp(-2)
    assert acts[PolicyCalibration(0.05).caution] / trials <= 0.05


def test_the_rate_says_how_many_standard_errors_a_gain_must_exceed() -> None:
    assert PolicyCalibration(0.05).caution == pytest.approx(2.4477, abs=1e-4)
    assert PolicyCalibration(math.exp(-2)).caution == pytest.approx(2)
    assert PolicyCalibration(1).caution == 0


@pytest.mark.parametrize("rate", [-1, 0, 2, math.nan])
def test_a_rate_that_means_nothing_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match=rf"policy\.false_positive_rate={rate}: give a share above 0 and at most 1"):
        PolicyCalibration(rate)
