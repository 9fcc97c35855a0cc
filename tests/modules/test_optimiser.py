"""AdamW with warm-up and cosine: the factor at hand-computed steps, and who is decayed."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from skufp.errors import UserError
from skufp.modules.optimiser import adamw_cosine, raise_if_diverged


def _setup(warmup: float = 0.1, steps: int = 100) -> dict[str, Any]:
    layer, heads = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), nn.Linear(3, 2)
    heads.bias.requires_grad_(False)
    groups = [{"params": list(layer.parameters()), "lr": 0.1}, {"params": list(heads.parameters()), "lr": 1.0}]
    return dict(adamw_cosine(groups, weight_decay=0.05, warmup=warmup, steps=steps))


def _learning_rates(made: dict[str, Any], steps: int) -> list[float]:
    rates = []
    for _ in range(steps + 1):
        rates.append(made["optimizer"].param_groups[-1]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return rates


def test_warm_up_peak_middle_and_end() -> None:
    rates = _learning_rates(_setup(), 100)
    assert rates[0] == pytest.approx(0.1)  # a tenth of the way up after one of ten steps
    assert rates[4] == pytest.approx(0.5)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)  # half-way between step 10 and step 100
    assert rates[40] == pytest.approx(0.5 * (1 + math.cos(math.pi * 30 / 90)))
    assert rates[100] == pytest.approx(0.0, abs=1e-12)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 5), (0.1, 1), (1.0, 4), (0.5, 2)])
def test_short_runs_are_finite_and_start_above_zero(warmup: float, steps: int) -> None:
    rates = _learning_rates(_setup(warmup, steps), steps + 3)
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(rate > 0 for rate in rates[:steps])


def test_each_group_keeps_its_own_rate() -> None:
    made = _setup()
    rates = {group["initial_lr"] for group in made["optimizer"].param_groups}
    assert rates == {0.1, 1.0}
    assert made["lr_scheduler"]["interval"] == "step"


def test_only_matrices_are_decayed_and_frozen_ones_are_left_out() -> None:
    groups = _setup()["optimizer"].param_groups
    listed = [(p.ndim, group["weight_decay"]) for group in groups for p in group["params"]]
    assert sorted(listed) == [(1, 0.0), (1, 0.0), (1, 0.0), (2, 0.05), (2, 0.05)]
    assert all(p.requires_grad for group in groups for p in group["params"])


def test_scalars_are_not_decayed() -> None:
    made = dict(adamw_cosine([{"params": [nn.Parameter(torch.tensor(3.0))], "lr": 1.0}], 0.5, 0.0, 10))
    assert [g["weight_decay"] for g in made["optimizer"].param_groups] == [0.0]


def test_weights_that_are_no_numbers_are_a_mistake_that_is_told() -> None:
    module = torch.nn.Linear(2, 2)
    raise_if_diverged(module)
    with torch.no_grad():
        module.bias[1] = float("nan")
    with pytest.raises(UserError, match=r"1 weights are not finite, e\.g\. bias"):
        raise_if_diverged(module)
