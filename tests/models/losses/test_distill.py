"""Teacher distillation: hand-placed angles and weights."""

import math

import pytest
import torch

from skufp.models.losses.distill import teacher_cosine


def _unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_hand_placed_angles_are_weighted() -> None:
    # 1 - cos of 0, 60, 90 and 180 degrees: 0, 1/2, 1, 2.
    student, teacher = _unit(0, 0, 0, 0), _unit(0, 60, 90, 180)
    weight = torch.tensor([5.0, 1.0, 2.0, 0.5])
    assert float(teacher_cosine(student, teacher, weight)) == pytest.approx((0.5 + 2 + 1) / 8.5, rel=1e-5)
    assert float(teacher_cosine(student, teacher, torch.ones(4))) == pytest.approx(3.5 / 4, rel=1e-5)


def test_only_the_ratio_of_weights_counts() -> None:
    student, teacher, weight = _unit(0, 0), _unit(30, 120), torch.tensor([1.0, 3.0])
    first, second = teacher_cosine(student, teacher, weight), teacher_cosine(student, teacher, weight * 1e-3)
    assert float(first) == pytest.approx(float(second), rel=1e-5)


def test_a_sku_without_weight_gets_no_gradient() -> None:
    student = _unit(10, 20).requires_grad_()
    teacher_cosine(student, _unit(90, 90), torch.tensor([0.0, 1.0])).backward()
    assert student.grad is not None
    assert torch.equal(student.grad[0], torch.zeros(2))
    assert float(student.grad[1].norm()) > 0.1


def test_no_weight_at_all_is_zero_with_a_finite_gradient() -> None:
    student = _unit(10, 20).requires_grad_()
    loss = teacher_cosine(student, _unit(90, 90), torch.zeros(2))
    loss.backward()
    assert float(loss) == 0.0
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros(2, 2))


def test_length_does_not_count() -> None:
    teacher, weight = _unit(50), torch.ones(1)
    assert float(teacher_cosine(_unit(0) * 7, teacher, weight)) == pytest.approx(
        1 - math.cos(math.radians(50)), rel=1e-5
    )
