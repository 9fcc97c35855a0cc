"""What every loss over scores of a bank keeps to, whichever it is."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skufp.models.losses.bank import bank_cross_entropy, upweight
from skufp.models.losses.distill import score_kl
from skufp.models.losses.margin import margin_ranking, triplet
from skufp.models.losses.ranking import listnet, recall_at_k, smooth_ap, sup_ap
from skufp.models.losses.scores import leads

Loss = Callable[[Tensor, Tensor], Tensor]


def _wanted(scores: Tensor, target: Tensor) -> Tensor:
    return F.one_hot(target, scores.shape[1]).to(scores.dtype)


def _losses(temperature: float) -> dict[str, Loss]:
    """Every loss, of scores and target alone."""
    return {
        "bank_cross_entropy": lambda s, t: bank_cross_entropy(s, t, temperature),
        "upweight": lambda s, t: bank_cross_entropy(upweight(s, _wanted(s, t) == 0, 3.0, temperature), t, temperature),
        "margin_ranking": lambda s, t: margin_ranking(s, t, 2 * temperature),
        "triplet": lambda s, t: triplet(s, t, 2 * temperature),
        "smooth_ap": lambda s, t: smooth_ap(s, t, temperature),
        "sup_ap": lambda s, t: sup_ap(s, t, temperature),
        "recall_at_k": lambda s, t: recall_at_k(s, t, (1, 5), temperature),
        "listnet": lambda s, t: listnet(s, _wanted(s, t), temperature),
        "score_kl": lambda s, t: score_kl(s, _wanted(s, t), temperature),
    }


LOSSES = _losses(0.1)
every_loss = pytest.mark.parametrize("name", list(LOSSES))


def _scores(queries: int = 6, skus: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(queries, skus, generator=generator, dtype=torch.float64) * 1.5 - 0.5
    return scores, torch.randint(skus, (queries,), generator=generator)


def _gradient(loss: Loss, scores: Tensor, target: Tensor) -> tuple[float, Tensor]:
    scores = scores.clone().requires_grad_()
    value = loss(scores, target)
    value.backward()
    assert value.shape == ()
    assert scores.grad is not None
    return float(value), scores.grad


def test_leads_equal_a_double_loop() -> None:
    scores, target = _scores()
    for q, row in enumerate(leads(scores, target).tolist()):
        for s, lead in enumerate(row):
            own = s == target[q]
            assert lead == (float("-inf") if own else float(scores[q, s] - scores[q, target[q]]))


@every_loss
def test_descent_lifts_the_own_sku_and_lowers_the_hardest_wrong_one(name: str) -> None:
    # Close calls, so that every hinge is violated and no sigmoid has run out.
    scores, target = _scores()
    scores = scores * 0.1
    _, gradient = _gradient(LOSSES[name], scores, target)
    rows = torch.arange(len(target))
    assert (gradient[rows, target] < 0).all()
    assert (gradient[rows, leads(scores, target).argmax(dim=1)] > 0).all()


@every_loss
def test_only_differences_of_a_querys_scores_count(name: str) -> None:
    scores, target = _scores()
    value, gradient = _gradient(LOSSES[name], scores, target)
    shift = torch.arange(6, dtype=torch.float64)[:, None]
    assert float(LOSSES[name](scores + shift, target)) == pytest.approx(value, rel=1e-9)
    assert torch.allclose(gradient.sum(dim=1), torch.zeros(6, dtype=torch.float64), atol=1e-12)


@every_loss
def test_order_of_skus_and_queries_does_not_matter(name: str) -> None:
    scores, target = _scores()
    value, gradient = _gradient(LOSSES[name], scores, target)
    generator = torch.Generator().manual_seed(1)
    skus, queries = torch.randperm(9, generator=generator), torch.randperm(6, generator=generator)
    moved, where = scores[queries][:, skus], skus.argsort()[target][queries]
    again, moved_gradient = _gradient(LOSSES[name], moved, where)
    assert again == pytest.approx(value, rel=1e-12)
    assert torch.allclose(moved_gradient, gradient[queries][:, skus], atol=1e-12)


@every_loss
@pytest.mark.parametrize("queries", [1, 3])
def test_a_bank_without_wrong_skus_costs_and_moves_nothing(name: str, queries: int) -> None:
    value, gradient = _gradient(LOSSES[name], torch.rand(queries, 1), torch.zeros(queries, dtype=torch.long))
    assert value == 0
    assert torch.equal(gradient, torch.zeros(queries, 1))


@every_loss
def test_a_clear_win_costs_next_to_nothing_and_a_clear_loss_more(name: str) -> None:
    scores = torch.tensor([[0.9, -0.9, -0.8]], dtype=torch.float64)
    won, lost = (float(LOSSES[name](scores, torch.tensor([own]))) for own in (0, 1))
    assert 0 <= won < 1e-2
    assert lost > won + 0.1


@every_loss
def test_gradcheck(name: str) -> None:
    scores, target = _scores()
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, target), scores.requires_grad_())


@every_loss
def test_bfloat16_scores_are_summed_in_full(name: str) -> None:
    # Ranks of several hundred, which bfloat16 itself would round to even numbers.
    scores = (torch.rand(4, 2000, generator=torch.Generator().manual_seed(2)) * 0.4).bfloat16()
    target = torch.tensor([0, 3, 1999, 7])
    value, gradient = _gradient(LOSSES[name], scores, target)
    assert value == pytest.approx(float(LOSSES[name](scores.double(), target)), rel=1e-4)
    assert gradient.dtype == torch.bfloat16
    assert torch.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_hopeless_and_perfect_scores_stay_finite_at_a_tiny_temperature(name: str, dtype: torch.dtype) -> None:
    won = torch.full((2000,), -1.0)
    won[0] = 1.0
    scores = torch.stack([won, -won]).to(dtype)
    value, gradient = _gradient(_losses(1e-3)[name], scores, torch.tensor([0, 0]))
    assert 0.1 < value < float("inf")
    assert torch.isfinite(gradient).all()
