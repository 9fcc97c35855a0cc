"""Matryoshka prefixes: by hand."""

import pytest
import torch

from skufp.models.matryoshka import mean_over_sizes, prefix, prefix_sizes


def test_a_prefix_has_unit_norm_again() -> None:
    x = torch.tensor([[0.6, 0.0, 0.8], [3.0, 4.0, 12.0]])
    assert torch.allclose(prefix(x, 2), torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    assert torch.allclose(prefix(x, 3), torch.tensor([[0.6, 0.0, 0.8], [3 / 13, 4 / 13, 12 / 13]]))


def test_a_prefix_of_views_keeps_their_shape_and_padding_stays_zero() -> None:
    views = torch.zeros(2, 3, 4)
    views[0, 0] = torch.tensor([0.0, 2.0, 5.0, 5.0])
    cut = prefix(views, 2)
    assert cut.shape == (2, 3, 2)
    assert cut[0, 0].tolist() == [0.0, 1.0]
    assert int(cut.count_nonzero()) == 1


def test_a_prefix_longer_than_the_vector_is_the_vector() -> None:
    x = torch.tensor([[0.6, 0.8]])
    assert torch.allclose(prefix(x, 9), x)


def test_gradients_reach_the_first_dimensions_alone() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    prefix(x, 2)[0, 0].backward()
    assert x.grad is not None
    # d/dx of x / sqrt(x² + y²) is y² / r³, d/dy is -xy / r³
    assert torch.allclose(x.grad, torch.tensor([[4.0, -2.0, 0.0, 0.0]]) / 5**1.5)


@pytest.mark.parametrize(
    ("dim", "smaller", "expected"),
    [
        (16, [], [16]),
        (16, [4, 8], [16, 8, 4]),
        (16, [8, 4, 8], [16, 8, 4]),
        (16, [16], [16]),
        (16, [32, 8], [16, 8]),
        (16, [0, -4, 8], [16, 8]),
    ],
)
def test_sizes_are_the_whole_vector_and_then_the_smaller_ones(
    dim: int, smaller: list[int], expected: list[int]
) -> None:
    assert prefix_sizes(dim, smaller) == expected


def test_the_mean_over_sizes_is_plain_and_takes_a_generator() -> None:
    assert float(mean_over_sizes(torch.tensor(float(i)) for i in (1, 2, 6))) == 3.0
