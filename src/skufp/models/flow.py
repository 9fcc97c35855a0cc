"""Rectified flow: straight paths from data to noise, independent of the network.

Legend: B batch, … the data's own axes, t [B] time: 0 is data, 1 is noise.
Papers: Liu et al., Flow Straight and Fast, arXiv 2209.03003 (eq. 1); Esser et al., arXiv 2403.03206 (logit-normal
times, section 3.1); Meng et al., SDEdit, arXiv 2108.01073 (starting part-way); Ho and Salimans, arXiv 2207.12598
(classifier-free guidance).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, …], t [B]) -> [B, …]


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the point at time ``t`` [B] on the straight path from ``data`` to ``noise``, both [B, …]."""
    t = _spread(t, data)
    return (1 - t) * data + t * noise


def velocity_target(data: Tensor, noise: Tensor) -> Tensor:
    """Return the regression target d x_t / dt, which is constant along the path."""
    return noise - data


def flow_loss(predicted: Tensor, data: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of the velocity, in float32."""
    return (predicted.float() - velocity_target(data, noise).float()).square().mean()


def gaussian_velocity(x: Tensor, t: Tensor, centre: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the expected velocity at ``x`` [B, …] and its standard deviation, for data normal about ``centre`` [B, …].

    For data of standard deviation s = ``deviation`` (of a shape that broadcasts to [B, …]) the mean E[noise - data |
    x_t] is known in closed form, and its standard deviation is s / sqrt(s² (1 - t)² + t²). In units of that deviation
    a network's correction has about unit variance at every time. This is EDM's preconditioning (Karras et al., arXiv
    2206.00364, table 1) about a centre and for straight paths.
    """
    t = _spread(t, x)
    variance = (deviation * (1 - t)).square() + t.square()
    mean = (t - deviation.square() * (1 - t)) / variance * (x - (1 - t) * centre) - centre
    return mean, deviation / variance.sqrt()


def sample_times(count: int, spread: float, centre: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """Return [count] logit-normal times in (0, 1); ``centre`` and ``spread`` are the normal's mean and deviation.

    Times in the middle of the path, where the task is hard, are more frequent; a ``centre`` above 0 shifts them towards
    noise. A ``spread`` of 0 means uniform times.
    """
    if spread == 0:
        return torch.rand(count, generator=generator)
    return torch.sigmoid(centre + spread * torch.randn(count, generator=generator))


def integrate(
    velocity: Velocity, x: Tensor, start: Tensor, steps: int, heun: bool = False, constrain: Velocity | None = None
) -> Tensor:
    """Integrate ``velocity`` from ``x`` [B, …] at times ``start`` [B] down to time 0 in ``steps`` equal steps.

    Euler, or Heun's second order with two calls a step. ``constrain`` (x_t, t) -> x_t restores the known values after
    every step. ValueError for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"{steps} steps: at least one is needed")
    width = start / steps
    for i in range(steps):
        t = start - i * width
        first = velocity(x, t)
        there = x - _spread(width, x) * first
        if heun and i < steps - 1:  # Euler at the end: the slope at time 0 is not trained
            first = (first + velocity(there, t - width)) / 2
            there = x - _spread(width, x) * first
        x = there if constrain is None else constrain(there, t - width)
    return x


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Return the velocity of classifier-free guidance; ``scale`` 1 gives the conditional velocity."""
    return unconditional + scale * (conditional - unconditional)


def _spread(t: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, …] with as many axes as ``like``."""
    return t.reshape(-1, *[1] * (like.ndim - 1)).to(like.dtype)
