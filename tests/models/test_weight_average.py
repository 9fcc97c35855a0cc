"""The average of two networks' weights, by hand."""

import copy

import pytest
import torch
from torch import nn

from skufp.models.siglip import tiny_siglip
from skufp.models.weight_average import weight_average


def test_floating_point_entries_are_averaged_and_counters_are_not() -> None:
    start = {"weight": torch.tensor([0.0, 4.0]), "count": torch.tensor(3), "on": torch.tensor([True])}
    trained = {"weight": torch.tensor([8.0, 0.0]), "count": torch.tensor(9), "on": torch.tensor([False])}
    found = weight_average(start, trained, 0.25)
    assert {name: value.tolist() for name, value in found.items()} == {"weight": [2.0, 3.0], "count": 9, "on": [False]}
    assert weight_average(start, trained, 0)["count"] == 3
    assert (start["weight"].tolist(), trained["weight"].tolist()) == ([0.0, 4.0], [8.0, 0.0])


@pytest.mark.parametrize("alpha", [0, 1])
def test_the_ends_are_kept_bit_for_bit(alpha: int) -> None:
    ends = [{"weight": torch.tensor([value, 0.1])} for value in (float("inf"), 1e-38)]
    assert torch.equal(weight_average(*ends, alpha)["weight"], ends[alpha]["weight"])


def test_a_network_with_a_shared_scale_takes_the_average() -> None:
    start = tiny_siglip(16, 8, 32, 1, 2, seed=0)
    trained = copy.deepcopy(start)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter))
    expected = [0.25 * a + 0.75 * b for a, b in zip(start.parameters(), trained.parameters(), strict=True)]
    trained.load_state_dict(weight_average(start.state_dict(), copy.deepcopy(trained.state_dict()), 0.75))
    assert trained.logit_scale is trained.model.logit_scale
    for found, value in zip(trained.parameters(), expected, strict=True):
        torch.testing.assert_close(found, value)


def test_weights_of_two_networks_have_no_average() -> None:
    small, large = nn.Linear(2, 2).state_dict(), nn.Linear(2, 3).state_dict()
    with pytest.raises(ValueError, match="names or shapes differ"):
        weight_average(small, large, 0.5)
