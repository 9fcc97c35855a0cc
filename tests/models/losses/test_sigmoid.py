"""The sigmoid loss against a naive double loop and hand-placed angles."""

import math

import pytest
import torch
import torch.nn.functional as F

from skufp.models.losses.sigmoid import sigmoid_loss


def _unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _naive(a: torch.Tensor, b: torch.Tensor, positive: torch.Tensor, scale: float, bias: float) -> float:
    total = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            logit = float(a[i] @ b[j]) * scale + bias
            sign = 1.0 if positive[i, j] else -1.0
            total += math.log1p(math.exp(-sign * logit))
    return total / len(a)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (3, 7), (6, 2), (1, 1)])
def test_equals_a_double_loop(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows * 10 + columns)
    a = F.normalize(torch.randn(rows, 8, generator=generator, dtype=torch.float64), dim=1)
    b = F.normalize(torch.randn(columns, 8, generator=generator, dtype=torch.float64), dim=1)
    positive = torch.rand(rows, columns, generator=generator) < 0.4
    value = sigmoid_loss(a, b, positive, torch.tensor(7.0), torch.tensor(-2.5))
    assert float(value) == pytest.approx(_naive(a, b, positive, 7.0, -2.5), rel=1e-9)


def test_hand_placed_angles() -> None:
    # Angles 0 and 90 against 0, 60 and 180 degrees: cosines 1, 1/2, -1 and 0, sqrt(3)/2, 0.
    a, b = _unit(0, 90), _unit(0, 60, 180)
    positive = torch.tensor([[True, False, False], [False, True, True]])
    scale, bias = 4.0, -1.0
    cosines = [[1.0, 0.5, -1.0], [0.0, math.sqrt(3) / 2, 0.0]]
    expected = 0.0
    for row, signs in zip(cosines, [[1, -1, -1], [-1, 1, 1]], strict=True):
        expected += sum(-math.log(1 / (1 + math.exp(-s * (scale * c + bias)))) for c, s in zip(row, signs, strict=True))
    value = sigmoid_loss(a, b, positive, torch.tensor(scale), torch.tensor(bias))
    assert float(value) == pytest.approx(expected / 2, rel=1e-5)


def test_turning_towards_the_positive_lowers_it_and_towards_the_negative_raises_it() -> None:
    positive = torch.tensor([[True, False]])
    scale, bias = torch.tensor(5.0), torch.tensor(0.0)
    values = [float(sigmoid_loss(_unit(angle), _unit(0, 90), positive, scale, bias)) for angle in (0, 30, 60, 90)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_gradients_reach_vectors_scale_and_bias() -> None:
    leaves = [_unit(10, 80).requires_grad_(), _unit(0, 95).requires_grad_()]
    scalars = [torch.tensor(3.0, requires_grad=True), torch.tensor(-1.0, requires_grad=True)]
    sigmoid_loss(*leaves, torch.eye(2, dtype=torch.bool), *scalars).backward()
    assert all(leaf.grad is not None and float(leaf.grad.abs().sum()) > 0 for leaf in leaves + scalars)


def test_very_wrong_logits_stay_finite() -> None:
    value = sigmoid_loss(_unit(180), _unit(0), torch.tensor([[True]]), torch.tensor(1e4), torch.tensor(0.0))
    assert float(value) == pytest.approx(1e4, rel=1e-4)


def test_only_pairs_that_count_take_part() -> None:
    generator = torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(4, 8, generator=generator, dtype=torch.float64), dim=1)
    b = F.normalize(torch.randn(6, 8, generator=generator, dtype=torch.float64), dim=1)
    positive, counts = (torch.rand(4, 6, generator=generator) < share for share in (0.4, 0.6))
    expected = sum(
        _naive(a[i : i + 1], b[j : j + 1], positive[i : i + 1, j : j + 1], 7.0, -2.5)
        for i in range(4) for j in range(6) if counts[i, j]
    ) / 4  # fmt: skip
    value = sigmoid_loss(a, b, positive, torch.tensor(7.0), torch.tensor(-2.5), counts)
    assert float(value) == pytest.approx(expected, rel=1e-9)
    everything = sigmoid_loss(a, b, positive, torch.tensor(7.0), torch.tensor(-2.5), torch.ones_like(counts))
    assert torch.equal(everything, sigmoid_loss(a, b, positive, torch.tensor(7.0), torch.tensor(-2.5)))
