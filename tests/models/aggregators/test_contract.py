"""What every aggregator of conf/aggregator keeps: unit norm, no order, no padding, 1 to 64 views."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Make = Callable[..., nn.Module]
Batch = Callable[..., tuple[Tensor, Tensor, Tensor]]

CONF = Path(__file__).resolve().parents[3] / "conf" / "aggregator"
EVERY = sorted(path.stem for path in CONF.glob("*.yaml"))
COUNTS = [1, 3, 5, 2, 8]

pytestmark = pytest.mark.parametrize("name", EVERY)


def test_output_is_a_unit_vector(name: str, make: Make, shaken: Make, batch: Batch) -> None:
    for model in (make(name), shaken(name)):
        out = model(*batch(COUNTS))
        assert out.shape == (len(COUNTS), 32)
        assert torch.allclose(out.norm(dim=-1), torch.ones(len(COUNTS)), atol=1e-5)


def test_order_of_views_does_not_count(name: str, shaken: Make, batch: Batch) -> None:
    model = shaken(name)
    views, mask, meta = batch(COUNTS)
    expected = model(views, mask, meta)
    for seed in range(5):
        order = torch.randperm(views.shape[1], generator=torch.Generator().manual_seed(seed))
        assert torch.allclose(model(views[:, order], mask[:, order], meta[:, order]), expected, atol=1e-5)


def test_order_of_few_views_does_not_count(name: str, shaken: Make, batch: Batch) -> None:
    model = shaken(name)
    for count in (2, 3):
        views, mask, meta = batch([count] * 200, seed=count)
        expected = model(views, mask, meta)
        for order in permutations(range(count)):
            out = model(views[:, order], mask[:, order], meta[:, order])
            assert torch.allclose(out, expected, atol=1e-5)


def test_padding_has_no_influence_from_1_to_64_views(name: str, shaken: Make, batch: Batch) -> None:
    model = shaken(name)
    counts = list(range(1, 65))
    views, mask, meta = batch(counts, seed=7)
    rubbish = torch.randn(views.shape, generator=torch.Generator().manual_seed(2)) * 1e4
    filled = F.pad(torch.where(mask[..., None], views, rubbish), (0, 0, 0, 8), value=-3e3)
    together = model(filled, F.pad(mask, (0, 8)), F.pad(torch.where(mask[..., None], meta, 1), (0, 0, 0, 8), value=1))
    for i, count in enumerate(counts):
        alone = model(views[i : i + 1, :count], mask[i : i + 1, :count], meta[i : i + 1, :count])
        assert torch.allclose(together[i], alone[0], atol=1e-5), count


def test_a_single_view_is_returned_whatever_was_learnt(name: str, shaken: Make, batch: Batch) -> None:
    views, mask, meta = batch([1, 4, 1], seed=5)
    out = shaken(name)(views, mask, meta)
    assert torch.allclose(out[[0, 2]], views[[0, 2], 0], atol=1e-5)


def test_identical_views_are_that_view(name: str, make: Make, batch: Batch) -> None:
    views, _, meta = batch([1, 1])
    same, mask = views.expand(-1, 6, -1), torch.ones(2, 6, dtype=torch.bool)
    assert torch.allclose(make(name)(same, mask, meta.expand(-1, 6, -1)), views[:, 0], atol=1e-5)


def test_serving_without_gradients_gives_the_same(name: str, shaken: Make, batch: Batch) -> None:
    model, inputs = shaken(name), batch(COUNTS)
    expected = model(*inputs)
    with torch.inference_mode():  # torch's transformer layers take another path here
        assert torch.allclose(model(*inputs), expected, atol=1e-5)
