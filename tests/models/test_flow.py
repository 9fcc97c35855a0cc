"""Rectified flow: Gaussians, whose velocity and whose paths are known, and a point mass."""

import math

import pytest
import torch
from torch import Tensor

from skufp.models.flow import (
    Velocity,
    flow_loss,
    gaussian_velocity,
    guided,
    integrate,
    interpolate,
    sample_times,
    velocity_target,
)

MEAN, DEVIATION = 2.0, 0.5


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _gaussian(x: Tensor, t: Tensor) -> Tensor:
    return gaussian_velocity(x, t, torch.full_like(x, MEAN), torch.tensor(DEVIATION, dtype=x.dtype))[0]


def _arrival(x: Tensor, t: Tensor) -> Tensor:
    """Where the path through x [B, D] at t [B] ends: points keep their distance from the mean, in deviations."""
    t = t[:, None]
    return MEAN + DEVIATION * (x - (1 - t) * MEAN) / ((DEVIATION * (1 - t)) ** 2 + t**2).sqrt()


def test_a_path_goes_from_data_to_noise_at_the_speed_the_network_learns() -> None:
    data, noise = torch.randn(3, 2, 4, 4, generator=_generator()), torch.randn(3, 2, 4, 4, generator=_generator(1))
    assert torch.equal(interpolate(data, noise, torch.zeros(3)), data)
    assert torch.equal(interpolate(data, noise, torch.ones(3)), noise)
    x = interpolate(data, noise, torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(x[1], 0.75 * data[1] + 0.25 * noise[1])  # each sample at its own time
    later = interpolate(data, noise, torch.full((3,), 0.75))
    earlier = interpolate(data, noise, torch.full((3,), 0.25))
    torch.testing.assert_close((later - earlier) / 0.5, velocity_target(data, noise))


def test_the_loss_is_the_mean_square_in_float32() -> None:
    data, noise = torch.zeros(2, 3), torch.ones(2, 3)
    predicted = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 4.0]], dtype=torch.bfloat16)
    loss = flow_loss(predicted, data, noise)
    assert loss.dtype == torch.float32
    assert float(loss) == 9 / 6


@pytest.mark.parametrize("t", [0.05, 0.3, 0.7, 1.0])
def test_gaussian_velocity_is_the_posterior_of_brute_force(t: float) -> None:
    grid = torch.linspace(MEAN - 8 * DEVIATION, MEAN + 8 * DEVIATION, 20001, dtype=torch.float64)
    for x in (-1.0, 0.5, 2.5):
        log = -((grid - MEAN) ** 2) / (2 * DEVIATION**2) - (x - (1 - t) * grid) ** 2 / (2 * t**2)
        weight = torch.softmax(log, dim=0)
        velocity = (x - grid) / t  # noise - data of the path from this data point through x
        expected = (weight * velocity).sum()
        spread = (weight * (velocity - expected) ** 2).sum().sqrt()
        point = torch.tensor([[x]], dtype=torch.float64)
        mean, uncertainty = gaussian_velocity(
            point, torch.tensor([t]).double(), torch.tensor([[MEAN]]).double(), torch.tensor(DEVIATION).double()
        )
        assert float(mean) == pytest.approx(float(expected), abs=1e-5)
        assert float(uncertainty) == pytest.approx(float(spread), abs=1e-5)


def test_gaussian_velocity_takes_a_deviation_for_every_channel_and_a_time_for_every_sample() -> None:
    x, centre = torch.randn(2, 3, 2, 2, generator=_generator()), torch.randn(2, 3, 2, 2, generator=_generator(1))
    t, deviation = torch.tensor([0.2, 0.9]), torch.tensor([0.1, 1.0, 3.0])
    mean, uncertainty = gaussian_velocity(x, t, centre, deviation[:, None, None])
    for b in range(2):
        for c in range(3):
            alone, its = gaussian_velocity(x[b : b + 1, c], t[b : b + 1], centre[b : b + 1, c], deviation[c])
            torch.testing.assert_close(mean[b : b + 1, c], alone)
            torch.testing.assert_close(uncertainty[b, c].flatten()[0], its.flatten()[0])


@pytest.mark.parametrize("heun", [False, True])
def test_noise_becomes_the_gaussian(heun: bool) -> None:
    noise = torch.randn(20000, 1, generator=_generator())
    drawn = integrate(_gaussian, noise, torch.ones(20000), 50, heun)
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(drawn.std()) == pytest.approx(DEVIATION, abs=0.02)


@pytest.mark.parametrize("steps", [10, 20, 40])
def test_heun_errs_much_less_than_euler_at_equal_steps(steps: int) -> None:
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    t = torch.ones(7, dtype=torch.float64)
    euler, heun = (
        float((integrate(_gaussian, x, t, steps, second) - _arrival(x, t)).abs().max()) for second in (False, True)
    )
    assert heun < 0.25 * euler


@pytest.mark.parametrize(("heun", "order"), [(False, 1), (True, 2)])
def test_twice_the_steps_divide_the_error_by_two_to_the_order(heun: bool, order: int) -> None:
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    t = torch.ones(7, dtype=torch.float64)
    coarse, fine = (float((integrate(_gaussian, x, t, n, heun) - _arrival(x, t)).abs().max()) for n in (80, 160))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3)


def test_every_sample_starts_at_its_own_time() -> None:
    x = torch.tensor([[1.0], [-0.5], [3.0], [0.7]], dtype=torch.float64)
    start = torch.tensor([1.0, 0.6, 0.1, 0.0], dtype=torch.float64)
    arrived = integrate(_gaussian, x, start, 200, heun=True)
    torch.testing.assert_close(arrived, _arrival(x, start), atol=1e-3, rtol=0)
    assert float(arrived[3]) == 0.7  # at time 0 there is nowhere to go


@pytest.mark.parametrize("heun", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_point_mass_is_reached_exactly(steps: int, heun: bool) -> None:
    point = torch.tensor([[3.0, -1.0]], dtype=torch.float64)
    start = torch.tensor([1.0, 0.5], dtype=torch.float64)
    noise = torch.randn(2, 2, generator=_generator(), dtype=torch.float64)
    x = interpolate(point.expand(2, 2), noise, start)
    arrived = integrate(lambda x, t: (x - point) / t[:, None], x, start, steps, heun)
    torch.testing.assert_close(arrived, point.expand(2, 2))


def test_calls_and_times_of_euler_and_heun() -> None:
    def times(heun: bool) -> list[float]:
        seen: list[float] = []

        def still(x: Tensor, t: Tensor) -> Tensor:
            seen.append(round(float(t), 6))
            return torch.zeros_like(x)

        integrate(still, torch.zeros(1, 1), torch.tensor([0.75]), 3, heun)
        return seen

    assert times(False) == [0.75, 0.5, 0.25]
    assert times(True) == [0.75, 0.5, 0.5, 0.25, 0.25]  # never at time 0


def test_what_is_held_is_put_back_after_every_step() -> None:
    known, noise = torch.tensor([[5.0, 5.0]]), torch.tensor([[0.5, -1.0]])
    mask, start, seen = torch.tensor([[True, False]]), torch.tensor([1.0]), []

    def constrain(x: Tensor, t: Tensor) -> Tensor:
        seen.append(round(float(t), 6))
        return torch.where(mask, interpolate(known, noise, t), x)

    velocity: Velocity = _gaussian
    arrived = integrate(velocity, noise, start, 4, constrain=constrain)
    assert seen == [0.75, 0.5, 0.25, 0.0]
    assert float(arrived[0, 0]) == 5.0
    assert float(arrived[0, 1]) == float(integrate(velocity, noise, start, 4)[0, 1])


@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        integrate(_gaussian, torch.zeros(1, 1), torch.ones(1), steps)


@pytest.mark.parametrize(("spread", "centre"), [(1.0, 0.0), (1.0, 0.8), (0.5, -1.0)])
def test_times_are_logit_normal(spread: float, centre: float) -> None:
    times = sample_times(20000, spread, centre, _generator())
    assert times.shape == (20000,)
    assert 0 < float(times.min()) < float(times.max()) < 1
    assert float(times.median()) == pytest.approx(1 / (1 + math.exp(-centre)), abs=0.01)
    assert float(torch.logit(times).mean()) == pytest.approx(centre, abs=0.03)
    assert float(torch.logit(times).std()) == pytest.approx(spread, abs=0.03)
    assert torch.equal(times, sample_times(20000, spread, centre, _generator()))


def test_no_spread_asks_for_uniform_times() -> None:
    times = sample_times(20000, 0.0, generator=_generator())
    counts = torch.histc(times, bins=10, min=0, max=1)
    assert float((counts / 2000 - 1).abs().max()) < 0.1


def test_guidance_by_hand() -> None:
    conditional, unconditional = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0])
    assert guided(conditional, unconditional, 1.0).tolist() == [1.0, 2.0]
    assert guided(conditional, unconditional, 0.0).tolist() == [0.0, 3.0]
    assert guided(conditional, unconditional, 3.0).tolist() == [3.0, 0.0]
