"""The symmetric InfoNCE against a naive loop."""

import math

import pytest
import torch
import torch.nn.functional as F

from skufp.models.losses.contrastive import info_nce


def _random_unit(count: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


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


def test_columns_of_nobody_stand_against_the_rows_that_count_and_ask_nothing() -> None:
    """Three rows and three columns of two SKUs, then two columns of nobody, each for one SKU's rows alone."""
    a, b = _random_unit(3, 5, 7), _random_unit(5, 5, 8)
    rows, columns, nobody = [0, 1, 1], [0, 1, 1], [0, 1]
    positive = torch.tensor([[r == c for c in columns] + [False, False] for r in rows])
    counts = torch.tensor([[True] * 3 + [r == n for n in nobody] for r in rows])
    logits = [[4.0 * float(a[i] @ b[j]) for j in range(5)] for i in range(3)]
    by_row, by_column = [], []
    for i in range(3):
        bottom = math.log(sum(math.exp(logits[i][j]) for j in range(5) if counts[i, j]))
        own = [j for j in range(3) if columns[j] == rows[i]]
        by_row.append(-sum(logits[i][j] - bottom for j in own) / len(own))
    for j in range(3):
        bottom = math.log(sum(math.exp(logits[i][j]) for i in range(3)))
        own = [i for i in range(3) if columns[j] == rows[i]]
        by_column.append(-sum(logits[i][j] - bottom for i in own) / len(own))
    a.requires_grad_()
    value = info_nce(a, b, positive, torch.tensor(4.0, dtype=torch.float64), counts)
    assert float(value) == pytest.approx((sum(by_row) / 3 + sum(by_column) / 3) / 2, rel=1e-9)
    value.backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
