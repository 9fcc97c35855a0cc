"""Contrastive cross-entropies against naive loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from skufp.models.losses.contrastive import bank_contrastive, info_nce, supervised_contrastive


def _random_unit(count: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


QUERY, FINGERPRINT, BANK = _random_unit(5, 6, 1), _random_unit(3, 6, 2), _random_unit(8, 6, 3)
TARGET, BANK_INDEX = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([6, 1, 4])
TEMPERATURE = 0.2


def _naive_bank() -> float:
    rows = {int(row): FINGERPRINT[i] for i, row in enumerate(BANK_INDEX)}
    total = 0.0
    for query, target in zip(QUERY, TARGET, strict=True):
        scores = [float(query @ rows.get(s, BANK[s])) / TEMPERATURE for s in range(len(BANK))]
        own = scores[int(BANK_INDEX[target])]
        total += math.log(sum(math.exp(s) for s in scores)) - own
    return total / len(QUERY)


def test_bank_equals_naive_cross_entropy() -> None:
    value = bank_contrastive(QUERY, FINGERPRINT, TARGET, BANK, BANK_INDEX, TEMPERATURE)
    assert float(value) == pytest.approx(_naive_bank(), rel=1e-9)


def test_bank_entries_of_the_batch_are_replaced() -> None:
    stale = BANK.clone()
    stale[BANK_INDEX] = 100.0
    before = stale.clone()
    value = bank_contrastive(QUERY, FINGERPRINT, TARGET, stale, BANK_INDEX, TEMPERATURE)
    assert float(value) == pytest.approx(_naive_bank(), rel=1e-9)
    assert torch.equal(stale, before)


def test_gradient_reaches_positives_and_negatives_but_not_the_bank() -> None:
    fingerprint, bank = FINGERPRINT.clone().requires_grad_(), BANK.clone().requires_grad_()
    # One query, of the first SKU: the other two SKUs of the batch are negatives.
    query = FINGERPRINT[:1] + 0.1 * QUERY[:1]
    bank_contrastive(query, fingerprint, torch.tensor([0]), bank, BANK_INDEX, TEMPERATURE).backward()
    assert bank.grad is None
    assert fingerprint.grad is not None
    along = (fingerprint.grad @ query.T).squeeze(1)
    assert along[0] < 0  # descent pulls the positive towards the query
    assert (along[1:] > 0).all()  # and pushes the negatives away


def _naive_supcon(x: torch.Tensor, label: torch.Tensor, temperature: float) -> float:
    losses = []
    for i in range(len(x)):
        positives = [p for p in range(len(x)) if p != i and label[p] == label[i]]
        if not positives:
            continue
        denominator = sum(math.exp(float(x[i] @ x[a]) / temperature) for a in range(len(x)) if a != i)
        own = [math.log(math.exp(float(x[i] @ x[p]) / temperature) / denominator) for p in positives]
        losses.append(-sum(own) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(
    "label", [[0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 2, 3, 4, 5]], ids=["pairs", "one", "lonely"]
)
def test_supervised_equals_naive_loop(label: list[int]) -> None:
    x, labels = _random_unit(7, 5, 4), torch.tensor(label)
    assert float(supervised_contrastive(x, labels, 0.3)) == pytest.approx(_naive_supcon(x, labels, 0.3), rel=1e-9)


def test_supervised_without_any_positive_is_zero_with_a_gradient() -> None:
    x = _random_unit(4, 5, 5).requires_grad_()
    loss = supervised_contrastive(x, torch.arange(4), 0.1)
    loss.backward()
    assert float(loss) == 0.0
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_supervised_gradient_is_finite_and_pulls_together() -> None:
    x = _random_unit(4, 5, 6).requires_grad_()
    supervised_contrastive(x, torch.tensor([0, 0, 1, 2]), 0.1).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert float(x.grad[0] @ x[1].detach()) < 0


def _naive_info_nce(a: torch.Tensor, b: torch.Tensor, positive: torch.Tensor, scale: float) -> float:
    def one_way(x: torch.Tensor, y: torch.Tensor, own: torch.Tensor) -> float:
        total = 0.0
        for i in range(len(x)):
            logits = [scale * float(x[i] @ y[j]) for j in range(len(y))]
            normaliser = math.log(sum(math.exp(v) for v in logits))
            positives = [logits[j] - normaliser for j in range(len(y)) if own[i, j]]
            total -= sum(positives) / len(positives)
        return total / len(x)

    return (one_way(a, b, positive) + one_way(b, a, positive.T)) / 2


def test_info_nce_equals_a_naive_loop() -> None:
    a, b = _random_unit(6, 5, 7), _random_unit(8, 5, 8)
    positive = torch.tensor([0, 0, 1, 1, 2, 3])[:, None] == torch.tensor([0, 1, 1, 2, 2, 2, 3, 0])[None, :]
    value = info_nce(a, b, positive, torch.tensor(4.0, dtype=torch.float64))
    assert float(value) == pytest.approx(_naive_info_nce(a, b, positive, 4.0), rel=1e-9)


def test_info_nce_with_one_positive_each_is_clips_cross_entropy() -> None:
    a, b = _random_unit(5, 6, 9), _random_unit(5, 6, 10)
    logits, own = a @ b.T * 3.0, torch.arange(5)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    assert float(info_nce(a, b, torch.eye(5, dtype=torch.bool), torch.tensor(3.0))) == pytest.approx(
        float(expected), rel=1e-6
    )
