"""Aggregators: the untrained one is the mean, order and padding do not count."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skufp.models.aggregators import META_SIZES, Attention, Mean, masked_mean

DIM = 32


def _batch(counts: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    most = max(counts)
    views = F.normalize(torch.randn(len(counts), most, DIM, generator=generator), dim=-1)
    mask = torch.arange(most)[None, :] < torch.tensor(counts)[:, None]
    meta = torch.stack([torch.randint(0, size, (len(counts), most), generator=generator) for size in META_SIZES], -1)
    return views * mask[..., None], mask, meta


def _randomised(use_meta: bool = True, gate: float = 0.7) -> Attention:
    """An attention whose every weight is random, gate open, in evaluation mode."""
    model = Attention(DIM, use_meta=use_meta).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        model.gate.fill_(gate)
    return model


COUNTS = [1, 3, 5, 2]


def test_masked_mean_is_the_mean_of_real_views() -> None:
    views, mask, _ = _batch(COUNTS)
    expected = torch.stack([views[i, :n].sum(dim=0) / n for i, n in enumerate(COUNTS)])
    assert torch.allclose(masked_mean(views + (~mask[..., None]) * 99.0, mask), expected, atol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_untrained_attention_is_the_mean(train: bool) -> None:
    views, mask, meta = _batch(COUNTS)
    model = Attention(DIM).train(train)
    assert torch.allclose(model(views, mask, meta), Mean(DIM)(views, mask, meta), atol=1e-6)


def test_randomised_attention_is_not_the_mean() -> None:
    views, mask, meta = _batch(COUNTS)
    assert not torch.allclose(_randomised()(views, mask, meta), Mean(DIM)(views, mask, meta), atol=1e-2)


@pytest.mark.parametrize("model", [Mean(DIM), _randomised(), _randomised(use_meta=False)], ids=["mean", "meta", "bare"])
def test_order_of_views_does_not_count(model: nn.Module) -> None:
    views, mask, meta = _batch(COUNTS)
    order = torch.randperm(views.shape[1], generator=torch.Generator().manual_seed(1))
    assert not torch.equal(order, torch.arange(views.shape[1]))
    shuffled = model(views[:, order], mask[:, order], meta[:, order])
    assert torch.allclose(model(views, mask, meta), shuffled, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 33, 64])
@pytest.mark.parametrize("model", [Mean(DIM), _randomised()], ids=["mean", "attention"])
def test_masked_views_have_no_influence(model: nn.Module, count: int) -> None:
    views, mask, meta = _batch([count], seed=count)
    alone = model(views, mask, meta)
    padded = F.pad(views, (0, 0, 0, 64 + 8 - count))
    padded[:, count:] = torch.randn(1, 64 + 8 - count, DIM, generator=torch.Generator().manual_seed(2)) * 50
    more_meta = F.pad(meta, (0, 0, 0, 64 + 8 - count), value=1)
    beside = model(padded, F.pad(mask, (0, 64 + 8 - count)), more_meta)
    assert torch.allclose(alone, beside, atol=1e-5)


@pytest.mark.parametrize("model", [Mean(DIM), Attention(DIM).eval(), _randomised()], ids=["mean", "new", "random"])
def test_output_has_unit_norm(model: nn.Module) -> None:
    out = model(*_batch(COUNTS))
    assert out.shape == (len(COUNTS), DIM)
    assert torch.allclose(out.norm(dim=-1), torch.ones(len(COUNTS)), atol=1e-5)


def test_metadata_counts_only_where_it_is_used() -> None:
    views, mask, meta = _batch(COUNTS)
    other = (meta + 1) % torch.tensor(META_SIZES)
    used, bare = _randomised(), _randomised(use_meta=False)
    assert not torch.allclose(used(views, mask, meta), used(views, mask, other), atol=1e-4)
    assert torch.equal(bare(views, mask, meta), bare(views, mask, other))


def test_every_value_of_the_metadata_has_its_row() -> None:
    views = F.normalize(torch.ones(1, 1, DIM), dim=-1)
    largest = torch.tensor([[[size - 1 for size in META_SIZES]]])
    assert torch.isfinite(Attention(DIM)(views, torch.ones(1, 1, dtype=torch.bool), largest)).all()


def test_gradient_flows_to_the_gate_and_the_scores_at_the_start() -> None:
    views, mask, meta = _batch(COUNTS)
    model = Attention(DIM, dropout=0.0)
    target = F.normalize(torch.randn(len(COUNTS), DIM, generator=torch.Generator().manual_seed(5)), dim=-1)
    (1 - (model(views, mask, meta) * target).sum(dim=-1)).mean().backward()
    assert model.gate.grad is not None
    assert abs(float(model.gate.grad)) > 1e-6
    assert model.score.weight.grad is not None
    assert float(model.score.weight.grad.abs().sum()) > 1e-6


def test_training_moves_it_towards_a_target_the_mean_cannot_reach() -> None:
    views, mask, meta = _batch([4] * 8)
    target = views[:, 0]
    meta[...] = 0
    meta[:, 0, 0] = 2  # the view to find is marked by its viewpoint
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Attention(DIM, dropout=0.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = (1 - (model(views, mask, meta) * target).sum(dim=-1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
