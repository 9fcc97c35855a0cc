"""Hinges against naive double loops and hand-placed angles."""

import math
from collections.abc import Callable

import pytest
import torch

from skufp.models.losses.margin import margin_ranking, triplet

COSINES = [math.cos(math.radians(angle)) for angle in (0, 60, 90, 180)]


def _random_scores(queries: int, skus: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(queries, skus, generator=generator, dtype=torch.float64) * 2 - 1
    return scores, torch.randint(skus, (queries,), generator=generator)


def _hinges(scores: torch.Tensor, target: torch.Tensor, margin: float) -> list[list[float]]:
    rows = []
    for row, own in zip(scores.tolist(), target.tolist(), strict=True):
        rows.append([max(0.0, margin + s - row[own]) for j, s in enumerate(row) if j != own])
    return rows


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.7])
@pytest.mark.parametrize(("queries", "skus"), [(6, 9), (1, 5), (4, 2)])
def test_margin_ranking_equals_a_double_loop(queries: int, skus: int, margin: float) -> None:
    scores, target = _random_scores(queries, skus, 10 * queries + skus)
    violating = [h for row in _hinges(scores, target, margin) for h in row if h > 0]
    expected = sum(violating) / len(violating) if violating else 0.0
    assert float(margin_ranking(scores, target, margin)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.7])
@pytest.mark.parametrize(("queries", "skus"), [(6, 9), (1, 5), (4, 2)])
def test_triplet_equals_a_double_loop(queries: int, skus: int, margin: float) -> None:
    scores, target = _random_scores(queries, skus, 10 * queries + skus)
    expected = sum(max(row) for row in _hinges(scores, target, margin)) / queries
    assert float(triplet(scores, target, margin)) == pytest.approx(expected, rel=1e-12)


def test_hand_placed_angles() -> None:
    # SKUs at 0, 60, 90 and 180 degrees: cosines 1, 1/2, 0, -1. The first query's own is at 60, the second's at 0.
    scores, target = torch.tensor([COSINES, COSINES], dtype=torch.float64), torch.tensor([1, 0])
    # Margin 3/4: the first query is 1/2 short of 0 degrees and 3/4 - 1/2 short of 90; the second 3/4 - 1/2 of 60.
    assert float(margin_ranking(scores, target, 0.75)) == pytest.approx((1.25 + 0.25 + 0.25) / 3, rel=1e-12)
    assert float(triplet(scores, target, 0.75)) == pytest.approx((1.25 + 0.25) / 2, rel=1e-12)


@pytest.mark.parametrize("loss", [margin_ranking, triplet])
def test_a_win_by_the_margin_costs_and_moves_nothing(loss: Callable[..., torch.Tensor]) -> None:
    scores = torch.tensor([COSINES], requires_grad=True)
    value = loss(scores, torch.tensor([0]), 0.4)
    value.backward()
    assert float(value) == 0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_triplet_moves_only_the_own_and_the_hardest_and_margin_every_violator() -> None:
    target = torch.tensor([1])
    gradients = []
    for loss in (triplet, margin_ranking):
        scores = torch.tensor([COSINES], requires_grad=True)
        loss(scores, target, 0.75).backward()
        assert scores.grad is not None
        gradients.append(scores.grad[0].tolist())
    assert gradients[0] == [1, -1, 0, 0]
    assert gradients[1] == [0.5, -1, 0.5, 0]
