"""The aggregators that learn: untrained they are the mean, trained they reach what the mean cannot."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skufp.errors import UserError
from skufp.models.aggregators.pooling import Mean, masked_mean, spread
from skufp.models.aggregators.residual import gated
from skufp.models.aggregators.tokens import META_SIZES, ViewTokens

Make = Callable[..., nn.Module]
Batch = Callable[..., tuple[Tensor, Tensor, Tensor]]

LEARNED = ["attention", "qformer", "mlp"]
COUNTS = [1, 3, 5, 2]


def _cosine_loss(out: Tensor, target: Tensor) -> Tensor:
    return (1 - (out * target).sum(dim=-1)).mean()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LEARNED)
def test_untrained_it_is_the_mean(name: str, train: bool, make: Make, batch: Batch) -> None:
    inputs = batch(COUNTS)
    model = make(name, dropout=0.5).train(train)
    assert torch.allclose(model(*inputs), Mean(32)(*inputs), atol=1e-6)


@pytest.mark.parametrize("name", LEARNED)
def test_with_other_weights_it_is_not_the_mean(name: str, shaken: Make, batch: Batch) -> None:
    inputs = batch(COUNTS)
    distance = (shaken(name)(*inputs) - Mean(32)(*inputs)).norm(dim=-1)
    assert (distance[1:] > 1e-2).all()  # the first SKU has a single view


@pytest.mark.parametrize("name", LEARNED)
def test_metadata_counts_only_where_it_is_used(name: str, make: Make, shaken: Make, batch: Batch) -> None:
    views, mask, meta = batch(COUNTS)
    used, bare = shaken(name), shaken(name, use_meta=False)
    for column in range(len(META_SIZES)):
        other = meta.clone()
        other[..., column] = (meta[..., column] + 1) % META_SIZES[column]
        assert not torch.allclose(used(views, mask, meta), used(views, mask, other), atol=1e-4)
        assert torch.equal(bare(views, mask, meta), bare(views, mask, other))
    tables = sum(size * 32 for size in META_SIZES)
    assert sum(p.numel() for p in used.parameters()) - sum(p.numel() for p in bare.parameters()) == tables


@pytest.mark.parametrize("name", LEARNED)
def test_the_gate_learns_first_and_then_everything(name: str, make: Make, batch: Batch) -> None:
    inputs = batch([4, 6, 3, 5], seed=5)
    target = F.normalize(torch.randn(4, 32, generator=torch.Generator().manual_seed(5)), dim=-1)
    model = make(name, dropout=0.0)
    _cosine_loss(model(*inputs), target).backward()
    assert abs(float(model.gate.grad)) > 1e-6  # type: ignore[arg-type,union-attr]
    with torch.no_grad():
        model.gate.fill_(0.5)  # type: ignore[operator,union-attr]
        if name == "attention":
            model.score.weight.fill_(0.1)  # type: ignore[operator,union-attr]
    model.zero_grad()
    _cosine_loss(model(*inputs), target).backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        # A constant added to all logits changes no softmax: score.bias is the only weight without an effect.
        assert label == "score.bias" or float(parameter.grad.abs().sum()) > 1e-9, label


def test_attention_scores_learn_from_the_first_step(make: Make, batch: Batch) -> None:
    model = make("attention", dropout=0.0)
    _cosine_loss(model(*batch([4, 6])), batch([1, 1], seed=9)[0][:, 0]).backward()
    assert float(model.score.weight.grad.abs().sum()) > 1e-6  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("name", LEARNED)
def test_training_reaches_a_target_that_the_mean_cannot(name: str, make: Make, batch: Batch) -> None:
    # The target is the one view that its viewpoint marks, wherever it lies among the four.
    views, mask, meta = batch([4] * 8, seed=11)
    marked = torch.arange(8) % 4
    meta[...] = 0
    meta[torch.arange(8), marked, 0] = 2
    target = views[torch.arange(8), marked]
    model = make(name, dropout=0.0).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = _cosine_loss(model(views, mask, meta), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    of_mean = _cosine_loss(Mean(32)(views, mask, meta), target)
    assert float(loss) < 0.3 * float(of_mean)


def test_query_tokens_of_the_qformer_all_count_alike(shaken: Make, batch: Batch) -> None:
    inputs, model = batch(COUNTS), shaken("qformer", queries=3)
    expected = model(*inputs)
    with torch.no_grad():
        model.queries.copy_(model.queries[[2, 0, 1]])  # type: ignore[operator,index]
        assert torch.allclose(model(*inputs), expected, atol=1e-5)
        model.queries[1].neg_()  # type: ignore[operator,index]
    assert not torch.allclose(model(*inputs)[1:], expected[1:], atol=1e-3)


@pytest.mark.parametrize("name", ["attention", "qformer"])
def test_heads_that_do_not_fit_are_refused(name: str, make: Make) -> None:
    with pytest.raises(UserError, match=r"5 heads do not divide 32 dimensions\. Try heads= one of 1, 2, 4, 8, 16"):
        make(name, heads=5)


def test_tokens_add_one_row_per_column_to_the_scaled_view(batch: Batch) -> None:
    views, _, meta = batch([3, 2])
    tokens = ViewTokens(32)
    assert torch.equal(tokens(views, meta), views * 32**0.5)  # untrained, metadata says nothing
    with torch.no_grad():
        for column, table in enumerate(tokens.tables):
            table.weight.copy_(10.0**column * torch.arange(1, META_SIZES[column] + 1)[:, None].expand(-1, 32))
    added = (tokens(views, meta) - views * 32**0.5)[1, 0]
    number = sum(10**column * (int(value) + 1) for column, value in enumerate(meta[1, 0]))
    assert torch.allclose(added, torch.full((32,), float(number)), rtol=1e-4)


def test_gated_adds_the_update_times_gate_and_spread(batch: Batch) -> None:
    views, mask, _ = batch(COUNTS)
    pooled = masked_mean(views, mask)
    update = torch.randn(len(COUNTS), 32, generator=torch.Generator().manual_seed(1))
    out = gated(pooled, update, torch.tensor(0.3), views, mask)
    for i in range(len(COUNTS)):
        vector = pooled[i] + 0.3 * float(spread(views, mask)[i]) * update[i] / 32**0.5
        assert torch.allclose(out[i], vector / vector.norm(), atol=1e-6)
