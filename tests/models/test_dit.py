"""The diffusion transformer: nothing at the start, every condition in its place, saved and loaded, learning."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skufp.models.dit import CONDITIONS, SIZES, ViewDiT
from skufp.models.flow import flow_loss, gaussian_velocity, integrate, interpolate, velocity_target

SMALL: dict[str, Any] = {"patch": 4, "channels": 3, "side": 8, "actions": 4, "encoder_dim": 16, "token_dim": 12}
Inputs = dict[str, Tensor]


def _network(seed: int = 0, awake: bool = True, **changes: Any) -> ViewDiT:
    """A tiny network; ``awake`` gives its zero layers weights, as training would."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ViewDiT(**SMALL | changes).eval()
        if awake:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def _inputs(network: ViewDiT, count: int = 2, seed: int = 0) -> Inputs:
    config: Any = network.config
    generator = torch.Generator().manual_seed(seed)
    shape = (count, config.channels, config.side, config.side)
    return {
        "noisy": torch.randn(shape, generator=generator),
        "t": torch.rand(count, generator=generator) * 0.8 + 0.1,
        "source": torch.randn(shape, generator=generator),
        "draft": torch.randn(shape, generator=generator),
        "tokens": torch.randn(count, 5, config.token_dim, generator=generator),
        "pooled": torch.randn(count, config.encoder_dim, generator=generator),
        "view_kind": torch.randint(0, config.actions, (count,), generator=generator),
    }


def test_an_untrained_network_predicts_no_velocity() -> None:
    network = _network(awake=False)
    assert int(network(**_inputs(network)).count_nonzero()) == 0


def test_untrained_blocks_change_nothing() -> None:
    network = _network(awake=False)
    x, tokens, condition = torch.randn(2, 4, 128), torch.randn(2, 5, 128), torch.randn(2, 128)
    assert all(torch.equal(block(x, tokens, condition), x) for block in network.blocks)


def _argument(condition: str) -> str:
    """Return forward's argument for one of CONDITIONS."""
    return "view_kind" if condition == "action" else condition


def _drawn(network: ViewDiT, given: Inputs, **more: Any) -> Tensor:
    """Follow the path from ``noisy``, taken as noise, to its end."""
    conditions = {_argument(k): given[_argument(k)] for k in CONDITIONS} | more
    with torch.no_grad():
        return integrate(lambda x, t: network(x, t, **conditions), given["noisy"], torch.ones(2), 30, heun=True)


def test_an_untrained_network_that_predicts_a_change_draws_about_the_draft() -> None:
    network = _network(awake=False, predicts="change")
    given = _inputs(network)
    network.calibrate(given["draft"], given["draft"] + torch.tensor([0.1, 0.2, 0.4])[:, None, None])
    change = network.change[:, None, None]
    expected, _ = gaussian_velocity(given["noisy"], given["t"], given["draft"], change)
    torch.testing.assert_close(network(**given), expected)
    # a Gaussian's path keeps the distance from its centre, in deviations
    torch.testing.assert_close(_drawn(network, given), given["draft"] + change * given["noisy"], atol=0.02, rtol=0)


def test_where_the_draft_is_hidden_an_untrained_network_draws_about_nothing_as_far_as_views_spread() -> None:
    network = _network(awake=False, predicts="change")
    given = _inputs(network)
    target = torch.tensor([0.2, 0.5, 1.0])[:, None, None].expand(2, -1, 8, 8)
    network.calibrate(target - 0.1, target)
    torch.testing.assert_close(network.spread, torch.tensor([0.2, 0.5, 1.0]))
    torch.testing.assert_close(network.change, torch.full((3,), 0.1))
    keep = torch.ones(2, len(CONDITIONS), dtype=torch.bool)
    keep[0, CONDITIONS.index("draft")] = False
    drawn = _drawn(network, given, keep=keep)
    spread = network.spread[:, None, None]
    torch.testing.assert_close(drawn[0], spread * given["noisy"][0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn[1], given["draft"][1] + 0.1 * given["noisy"][1], atol=0.02, rtol=0)


@pytest.mark.parametrize("t", [0.02, 0.5, 0.98])
def test_what_a_network_of_changes_sees_and_says_is_of_unit_size(t: float) -> None:
    network, generator = _network(awake=False, predicts="change"), torch.Generator().manual_seed(0)
    change, times = torch.tensor([0.05, 0.5, 4.0])[:, None, None], torch.full((200,), t)
    draft, noise, random = (torch.randn(200, 3, 8, 8, generator=generator) for _ in range(3))
    target = draft + change * random
    network.calibrate(draft, target)
    seen: list[Tensor] = []
    network.patches.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    given = _inputs(network, count=200) | {"noisy": interpolate(target, noise, times), "t": times, "draft": draft}
    with torch.no_grad():
        expected = network(**given)
    _, uncertainty = gaussian_velocity(given["noisy"], times, draft, change)
    said = (expected - velocity_target(target, noise)) / uncertainty  # what the last layer would have to give
    for values in (seen[0][:, :3], said):
        torch.testing.assert_close(values.std(dim=(0, 2, 3)), torch.ones(3), atol=0.05, rtol=0)


def test_calibration_by_hand() -> None:
    network = _network(predicts="change")
    draft, target = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    target[0, 0], target[1, 0] = 3.0, 4.0  # root of (9 + 16) / 2
    target[:, 1] = -0.25
    network.calibrate(draft, target)
    torch.testing.assert_close(network.change, torch.tensor([12.5**0.5, 0.25, 1e-3]))  # never nothing


@pytest.mark.parametrize("predicts", ["velocity", "change"])
@pytest.mark.parametrize(("side", "patch", "channels"), [(64, 8, 3), (8, 1, 32), (16, 2, 4)])
def test_shapes(side: int, patch: int, channels: int, predicts: str) -> None:
    network = _network(side=side, patch=patch, channels=channels, predicts=predicts)
    with torch.no_grad():
        velocity = network(**_inputs(network))
    assert velocity.shape == (2, channels, side, side)
    assert bool(velocity.isfinite().all())


@pytest.mark.parametrize("predicts", ["velocity", "change"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_seen_by_the_samples_that_may_see_it_alone(name: str, predicts: str) -> None:
    network = _network(predicts=predicts)
    given = _inputs(network)
    argument = _argument(name)
    changed = (given[argument] + 1) % 4 if name == "action" else given[argument].flip(0) + 1
    keep = torch.ones(2, len(CONDITIONS), dtype=torch.bool)
    keep[0, CONDITIONS.index(name)] = False
    with torch.no_grad():
        before, after = network(**given, keep=keep), network(**given | {argument: changed}, keep=keep)
        free = network(**given)
    assert float(before.abs().mean()) > 1e-2
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-3)
    assert not torch.allclose(before[0], free[0], atol=1e-3)
    torch.testing.assert_close(before[1], free[1])  # no `keep` is to see everything


def test_time_matters() -> None:
    network = _network()
    given = _inputs(network)
    with torch.no_grad():
        assert not torch.allclose(network(**given), network(**given | {"t": given["t"] + 0.05}), atol=1e-3)


def test_patches_and_their_way_back_agree() -> None:
    network = _network(side=8, patch=4, channels=3)
    picture = torch.randn(1, 3, 8, 8)
    patches = torch.zeros(1, 4, 4 * 4 * 3)
    for row in range(2):
        for column in range(2):
            for y in range(4):
                for x in range(4):
                    for c in range(3):
                        value = picture[0, c, 4 * row + y, 4 * column + x]
                        patches[0, 2 * row + column, (y * 4 + x) * 3 + c] = value
    assert torch.equal(network._unpatch(patches), picture)
    spot = torch.zeros(1, 9, 8, 8)
    spot[:, :, 5, 2] = 1.0  # second row, first column: the third patch
    with torch.no_grad():
        seen = network.patches(spot) - network.patches(torch.zeros_like(spot))
    assert seen.abs().sum(dim=-1).nonzero().tolist() == [[0, 2]]


@pytest.mark.parametrize("predicts", ["velocity", "change"])
def test_a_saved_network_is_a_diffusers_model_and_comes_back_the_same(tmp_path: Path, predicts: str) -> None:
    network = _network(predicts=predicts)
    given = _inputs(network)
    network.calibrate(given["draft"], given["noisy"])
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["_class_name"] == "ViewDiT"
    assert {name: config[name] for name in SMALL} == SMALL
    again = ViewDiT.from_pretrained(tmp_path)
    assert not again.training
    assert torch.equal(again.change, network.change)
    assert torch.equal(again.spread, network.spread)
    with torch.no_grad():
        assert torch.equal(again(**given), network(**given))


@pytest.mark.parametrize(("size", "paper"), [("S", 33e6), ("B", 130e6)])
def test_sizes_are_those_of_the_paper_and_cross_attention(size: str, paper: float) -> None:
    """Table 1 of arXiv 2212.09748 counts DiT-S/2 and DiT-B/2, class embeddings included, without cross-attention."""
    with torch.device("meta"):
        network = ViewDiT(size, patch=2, channels=4, side=32)
    counts = {name: parameter.numel() for name, parameter in network.named_parameters()}
    own = ("cross_", "pooled.", "tokens", "action_embedding")
    ours = sum(count for name, count in counts.items() if any(part in name for part in own))
    width, depth, _ = SIZES[size]
    cross_attention = depth * (4 * (width**2 + width) + 2 * width)  # query, key, value, out; a norm with weights
    conditions = 2 * (768 * width + width) + 5 * width + width  # pooled, tokens; actions and none; no tokens
    assert ours == cross_attention + conditions
    assert sum(counts.values()) - ours == pytest.approx(paper, rel=0.03)


def test_gradient_checkpointing_runs_blocks_twice_and_changes_no_gradient() -> None:
    def gradients(checkpointed: bool) -> tuple[dict[str, Tensor], int]:
        network, calls = _network().train(), []
        if checkpointed:
            network.enable_gradient_checkpointing()
        network.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
        network(**_inputs(network)).square().mean().backward()
        return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}, len(calls)

    (plain, once), (checkpointed, twice) = gradients(False), gradients(True)
    assert (once, twice) == (1, 2)
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, msg=name)


@pytest.mark.parametrize("predicts", ["velocity", "change"])
def test_every_parameter_learns(predicts: str) -> None:
    network = _network(predicts=predicts).train()
    keep = torch.tensor([[True], [False]]).expand(2, len(CONDITIONS))  # what stands in for a missing condition learns
    network(**_inputs(network), keep=keep).square().mean().backward()
    parameters = {n: p for n, p in network.named_parameters() if "to_k.bias" not in n}  # attention cannot see it
    assert [n for n, p in parameters.items() if p.grad is None or float(p.grad.abs().max()) < 1e-6] == []


@pytest.mark.parametrize("predicts", ["velocity", "change"])
def test_a_few_steps_lower_the_loss(predicts: str) -> None:
    network = _network(awake=False, predicts=predicts).train()
    given = _inputs(network, count=8)
    noise = torch.randn(given["source"].shape, generator=torch.Generator().manual_seed(9))
    target = given["source"].flip(-1)
    given["noisy"] = interpolate(target, noise, given["t"])
    optimiser, losses = torch.optim.AdamW(network.parameters(), lr=2e-3), []
    for _ in range(30):
        loss = flow_loss(network(**given), target, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("wrong", [{"size": "XL"}, {"predicts": "noise"}, {"patch": 3}])
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        ViewDiT(**SMALL | wrong)
