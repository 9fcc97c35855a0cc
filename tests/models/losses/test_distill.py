"""Teacher distillation: naive loops, hand-placed angles and weights."""

import math

import pytest
import torch

from skufp.models.losses.distill import score_kl, teacher_cosine


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


def _naive_kl(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> list[float]:
    values = []
    for row, wanted in zip(student.tolist(), teacher.tolist(), strict=True):
        z = sum(math.exp(s / temperature) for s in row)
        y = sum(math.exp(t / temperature) for t in wanted)
        value = 0.0
        for s, t in zip(row, wanted, strict=True):
            p, q = math.exp(t / temperature) / y, math.exp(s / temperature) / z
            value += p * (math.log(p) - math.log(q))
        values.append(value)
    return values


def _random_scores(seed: int) -> torch.Tensor:
    return torch.rand(5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def test_kl_equals_a_double_loop_weighted_or_not() -> None:
    student, teacher, weight = _random_scores(1), _random_scores(2), torch.tensor([0.5, 0.0, 2.0, 1.0, 0.1])
    values = _naive_kl(student, teacher, 0.2)
    assert float(score_kl(student, teacher, 0.2)) == pytest.approx(sum(values) / 5, rel=1e-12)
    expected = sum(w * v for w, v in zip(weight.tolist(), values, strict=True)) / float(weight.sum())
    assert float(score_kl(student, teacher, 0.2, weight)) == pytest.approx(expected, rel=1e-6)


def test_kl_of_hand_placed_angles() -> None:
    # Query at 0, two SKUs: the student has them at 60 and 90 degrees, the teacher both at 90. Temperature 1 / (2 log 3)
    # makes odds of 3 to 1 out of a cosine of 1/2.
    student, teacher = _unit(0).double() @ _unit(60, 90).double().T, torch.zeros(1, 2)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(score_kl(student, teacher, 1 / (2 * math.log(3)))) == pytest.approx(expected, rel=1e-6)


def test_kl_is_zero_where_the_student_is_the_teacher_up_to_a_shift() -> None:
    student = _random_scores(1).requires_grad_()
    loss = score_kl(student, student + 3, 0.05)
    loss.backward()
    assert float(loss) == pytest.approx(0, abs=1e-12)
    assert student.grad is not None
    assert torch.allclose(student.grad, torch.zeros_like(student), atol=1e-12)


def test_kl_is_teachers_first() -> None:
    # A SKU that the teacher rules out costs nothing, one that the student rules out costs much.
    sure, torn = torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0]])
    assert float(score_kl(torn, sure, 0.05)) == pytest.approx(math.log(2), rel=1e-5)
    assert float(score_kl(sure, torn, 0.05)) > 10


def test_kl_moves_the_student_and_not_the_teacher() -> None:
    student, teacher = _random_scores(1).requires_grad_(), _random_scores(2).requires_grad_()
    score_kl(student, teacher, 0.2, torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert torch.equal(student.grad[1], torch.zeros(7, dtype=torch.float64))
    # d KL / d student = (student's probability - teacher's) / temperature, averaged over the weight of 4.
    expected = ((student / 0.2).softmax(1) - (teacher / 0.2).softmax(1)) / 0.2 / 4
    assert torch.allclose(student.grad[0], expected[0], atol=1e-6)


def test_kl_without_any_weight_is_zero_with_a_finite_gradient() -> None:
    student = _random_scores(1).requires_grad_()
    loss = score_kl(student, _random_scores(2), 0.05, torch.zeros(5))
    loss.backward()
    assert float(loss) == 0
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_kl_takes_a_teacher_that_rules_skus_out_altogether() -> None:
    student = torch.tensor([[0.3, 0.1, 0.9]], requires_grad=True)
    loss = score_kl(student, torch.tensor([[0.3, 0.1, float("-inf")]]), 0.1)
    loss.backward()
    # The teacher's probabilities keep the student's ratio, so all that is missing is the third SKU's share.
    rest = math.exp(3) + math.exp(1)
    assert float(loss) == pytest.approx(math.log((rest + math.exp(9)) / rest), rel=1e-5)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_a_heavy_loss_of_a_batch_without_teachers_has_a_gradient_of_zero() -> None:
    student = torch.nn.functional.normalize(torch.randn(3, 4), dim=1).requires_grad_()
    (10 * teacher_cosine(student, torch.ones(3, 4), torch.zeros(3))).backward()
    assert torch.equal(student.grad, torch.zeros(3, 4))
    scores = torch.randn(2, 5, requires_grad=True)
    (100 * score_kl(scores, torch.randn(2, 5), 0.05, torch.zeros(2))).backward()
    assert torch.equal(scores.grad, torch.zeros(2, 5))
