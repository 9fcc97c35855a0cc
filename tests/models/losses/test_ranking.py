"""Ranking losses against naive double loops, hand-placed angles and the ranks that they smooth."""

import math

import numpy as np
import pytest
import torch

from skufp.models.losses.bank import bank_cross_entropy
from skufp.models.losses.distill import score_kl
from skufp.models.losses.ranking import listnet, recall_at_k, smooth_ap, smooth_rank, sup_ap
from skufp.retrieval.metrics import ranks_of_target

SHAPES = [(6, 9), (1, 5), (4, 2)]


def _random_scores(queries: int, skus: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(queries, skus, generator=generator, dtype=torch.float64) * 2 - 1
    return scores, torch.randint(skus, (queries,), generator=generator)


def _ranks(scores: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    return ranks_of_target(scores.numpy(), target.numpy())


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _naive_smooth_ranks(scores: torch.Tensor, target: torch.Tensor, temperature: float) -> list[float]:
    ranks = []
    for row, own in zip(scores.tolist(), target.tolist(), strict=True):
        ranks.append(1 + sum(_sigmoid((s - row[own]) / temperature) for j, s in enumerate(row) if j != own))
    return ranks


def _naive_upper_step(t: float, temperature: float, slope: float) -> float:
    if t < 0:
        return _sigmoid(t / temperature)
    if t <= 5 * temperature:
        return _sigmoid(t / temperature) + 0.5
    return slope * (t - 5 * temperature) + _sigmoid(5) + 0.5


@pytest.mark.parametrize(("queries", "skus"), SHAPES)
def test_smooth_ap_equals_a_double_loop(queries: int, skus: int) -> None:
    scores, target = _random_scores(queries, skus, skus)
    ranks = _naive_smooth_ranks(scores, target, 0.15)
    assert smooth_rank(scores, target, 0.15).tolist() == pytest.approx(ranks, rel=1e-12)
    expected = sum(1 - 1 / rank for rank in ranks) / queries
    assert float(smooth_ap(scores, target, 0.15)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("queries", "skus"), SHAPES)
def test_sup_ap_equals_a_double_loop(queries: int, skus: int) -> None:
    scores, target = _random_scores(queries, skus, skus)
    total = 0.0
    for row, own in zip(scores.tolist(), target.tolist(), strict=True):
        steps = [_naive_upper_step(s - row[own], 0.05, 7.0) for j, s in enumerate(row) if j != own]
        total += 1 - 1 / (1 + sum(steps))
    assert float(sup_ap(scores, target, 0.05, slope=7.0)) == pytest.approx(total / queries, rel=1e-12)


@pytest.mark.parametrize(("queries", "skus"), SHAPES)
def test_recall_equals_a_double_loop(queries: int, skus: int) -> None:
    scores, target = _random_scores(queries, skus, skus)
    total = 0.0
    for rank in _naive_smooth_ranks(scores, target, 0.15):
        for k in (1, 3):
            total += 1 - _sigmoid((k + 0.5 - rank) / 0.8) / _sigmoid((k - 0.5) / 0.8)
    value = recall_at_k(scores, target, (1, 3), 0.15, 0.8)
    assert float(value) == pytest.approx(total / (2 * queries), rel=1e-12)


@pytest.mark.parametrize(("queries", "skus"), SHAPES)
def test_listnet_equals_a_double_loop(queries: int, skus: int) -> None:
    scores, _ = _random_scores(queries, skus, skus)
    relevance, _ = _random_scores(queries, skus, 100 + skus)
    total = 0.0
    for row, wanted in zip(scores.tolist(), relevance.tolist(), strict=True):
        z = sum(math.exp(s / 0.3) for s in row)
        y = sum(math.exp(r / 0.3) for r in wanted)
        total -= sum(math.exp(r / 0.3) / y * math.log(math.exp(s / 0.3) / z) for s, r in zip(row, wanted, strict=True))
    assert float(listnet(scores, relevance, 0.3)) == pytest.approx(total / queries, rel=1e-12)


def test_hand_placed_angles() -> None:
    # The query at 0, its own SKU at 90, wrong ones at 60 and 120 degrees: ahead by 1/2 and behind by 1/2.
    angles = torch.tensor([90.0, 60.0, 120.0], dtype=torch.float64) * math.pi / 180
    scores, target = angles.cos()[None], torch.tensor([0])
    # σ(x) + σ(-x) = 1: the smooth rank is 2 at every temperature.
    assert float(smooth_ap(scores, target, 0.3)) == pytest.approx(1 / 2, rel=1e-12)
    # At temperature 1/2 the upper bound adds 1/2 for the one ahead: rank 2.5. At 0.01 the one ahead is past the knee,
    # 1.5 (less 0.0067) + 10 · 0.45, and the one behind does not count.
    assert float(sup_ap(scores, target, 0.5, slope=10)) == pytest.approx(1 - 1 / 2.5, rel=1e-12)
    assert float(sup_ap(scores, target, 0.01, slope=10)) == pytest.approx(1 - 1 / (2.5 - 0.0067 + 4.5), abs=1e-5)
    # Half a rank short of the first place, half a rank inside the first two.
    short, inside = _sigmoid(-0.5) / _sigmoid(0.5), _sigmoid(0.5) / _sigmoid(1.5)
    assert float(recall_at_k(scores, target, [1], 0.3)) == pytest.approx(1 - short, rel=1e-12)
    assert float(recall_at_k(scores, target, [1, 2], 0.3)) == pytest.approx(1 - (short + inside) / 2, rel=1e-12)


def test_smooth_ap_becomes_one_minus_the_reciprocal_rank() -> None:
    scores, target = _random_scores(20, 9, 1)
    ranks = _ranks(scores, target)
    assert len(set(ranks)) > 5
    assert float(smooth_ap(scores, target, 1e-6)) == pytest.approx(float(np.mean(1 - 1 / ranks)), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_recall_surrogate_becomes_one_minus_recall(k: int) -> None:
    scores, target = _random_scores(20, 9, 1)
    missed = float(np.mean(_ranks(scores, target) > k))
    assert 0 < missed < 1
    assert float(recall_at_k(scores, target, [k], 1e-6, 1e-3)) == pytest.approx(missed, abs=1e-9)


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.1, 1.0])
def test_sup_ap_bounds_one_minus_ap_from_above_ties_included(temperature: float) -> None:
    scores, target = _random_scores(50, 9, 2)
    scores = (scores * 4).round() / 4
    ranks = _ranks(scores, target)
    assert any((row == row[t]).sum() > 1 for row, t in zip(scores, target, strict=True))
    values = [float(sup_ap(scores[i : i + 1], target[i : i + 1], temperature)) for i in range(50)]
    assert (np.array(values) >= 1 - 1 / ranks).all()


def test_sup_ap_pulls_where_smooth_ap_has_given_up() -> None:
    pulls = []
    for loss in (smooth_ap, sup_ap):
        scores = torch.tensor([[-0.9, 0.9]], requires_grad=True)
        loss(scores, torch.tensor([0]), 0.01).backward()
        assert scores.grad is not None
        pulls.append(-float(scores.grad[0, 0]))
    assert pulls[0] == 0
    assert pulls[1] > 1e-3


def test_sup_ap_is_continuous_at_its_knee_and_jumps_only_at_ties() -> None:
    def upper(lead: float) -> float:
        scores = torch.tensor([[0.0, lead]], dtype=torch.float64)
        return 1 / (1 - float(sup_ap(scores, torch.tensor([0]), 0.01))) - 1

    assert upper(0.05 + 1e-9) == pytest.approx(upper(0.05 - 1e-9), abs=1e-5)
    assert upper(-1e-9) == pytest.approx(0.5, abs=1e-5)
    assert upper(0.0) == pytest.approx(1.0, rel=1e-9)


def test_listnet_of_the_own_sku_alone_is_the_cross_entropy() -> None:
    scores, target = _random_scores(6, 9, 3)
    own = torch.nn.functional.one_hot(target, 9)
    expected = bank_cross_entropy(scores, target, 0.02)
    assert float(listnet(scores, own, 0.02)) == pytest.approx(float(expected), rel=1e-9)


def test_listnet_has_the_gradient_of_the_divergence_from_the_better_ranker() -> None:
    better = _random_scores(6, 9, 4)[0].requires_grad_()
    gradients = []
    for loss in (listnet, score_kl):
        scores = _random_scores(6, 9, 3)[0].requires_grad_()
        loss(scores, better, 0.1).backward()
        gradients.append(scores.grad)
    assert better.grad is None
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert torch.allclose(gradients[0], gradients[1], atol=1e-12)
    assert float(gradients[0].norm()) > 0.1


def test_listnet_is_content_when_a_sibling_is_as_far_behind_as_its_grade_says() -> None:
    relevance = torch.tensor([[1.0, 0.8, 0.0]])
    pulls = []
    for behind in (0.1, 0.2, 0.3):
        scores = torch.tensor([[0.5, 0.5 - behind, -0.5]], requires_grad=True)
        listnet(scores, relevance, 0.2).backward()
        assert scores.grad is not None
        pulls.append(-float(scores.grad[0, 1]))
    assert pulls[0] < -0.1
    assert pulls[1] == pytest.approx(0, abs=1e-6)
    assert pulls[2] > 0.1
