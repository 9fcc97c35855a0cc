"""The sampler around the network: known velocities give known views."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skufp.models.dit import CONDITIONS
from skufp.models.flow import interpolate
from skufp.models.view_sampler import Given, ViewSampler

SHAPE = (3, 2, 4, 4)
KIND = torch.tensor([2, 0, 1])


class Known(nn.Module):
    """A network whose velocity is known; it remembers what it was asked."""

    def __init__(self, velocity: Any) -> None:
        super().__init__()
        self.velocity = velocity
        self.seen: list[dict[str, Tensor]] = []

    def forward(
        self, x: Tensor, t: Tensor, source: Tensor, draft: Tensor, tokens: Tensor, pooled: Tensor, view_kind: Tensor,
        keep: Tensor,
    ) -> Tensor:  # fmt: skip
        self.seen.append({"x": x, "t": t, "source": source, "draft": draft, "tokens": tokens, "pooled": pooled,
                          "view_kind": view_kind, "keep": keep})  # fmt: skip
        return self.velocity(x, t[:, None, None, None], draft, keep)


def to_draft() -> Known:
    """The exact velocity of paths that end in the draft."""
    return Known(lambda x, t, draft, keep: (x - draft) / t)


def nowhere() -> Known:
    return Known(lambda x, t, draft, keep: torch.zeros_like(x))


def _random(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def given() -> Given:
    return Given(_random(3), _random(0), torch.ones(3, 5, 6), torch.ones(3, 7))


@pytest.mark.parametrize("heun", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("start", [1.0, 0.6, 0.05])
def test_the_exact_velocity_ends_in_the_draft_wherever_it_begins(
    given: Given, start: float, steps: int, heun: bool
) -> None:
    network, sampler = to_draft(), ViewSampler(steps, heun=heun)
    drawn = sampler.translate(network, given, KIND, _random(1), torch.full((3,), start))
    torch.testing.assert_close(drawn, given.draft, atol=1e-5, rtol=0)
    assert len(network.seen) == (2 * steps - 1 if heun else steps)


def test_the_path_starts_between_draft_and_noise_each_at_its_own_time(given: Given) -> None:
    noise, start = _random(1), torch.tensor([1.0, 0.5, 0.25])
    drawn = ViewSampler(3).translate(nowhere(), given, KIND, noise, start)
    for i, t in enumerate(start.tolist()):
        torch.testing.assert_close(drawn[i], (1 - t) * given.draft[i] + t * noise[i])


def test_the_network_sees_source_draft_and_view_kind_at_every_step(given: Given) -> None:
    noise, start = _random(1), torch.full((3,), 0.4)
    network = nowhere()
    drawn = ViewSampler(4).translate(network, given, KIND, noise, start)
    torch.testing.assert_close(drawn, 0.6 * given.draft + 0.4 * noise)
    assert torch.stack([call["t"] for call in network.seen])[:, 0].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    for call in network.seen:
        assert torch.equal(call["view_kind"], KIND)
        assert all(call[name] is getattr(given, name) for name in ("source", "draft", "tokens", "pooled"))


def test_temperature_scales_the_noise_and_nothing_else(given: Given) -> None:
    def draw(temperature: float, seed: int) -> Tensor:
        network = Known(lambda x, t, draft, keep: 0.5 * draft)
        sampler = ViewSampler(5, temperature=temperature)
        return sampler.translate(network, given, KIND, _random(seed), torch.ones(3))

    cold = draw(0.0, seed=1)
    torch.testing.assert_close(cold, -0.5 * given.draft)  # 0 noise, then a unit of time against the velocity
    assert torch.equal(cold, draw(0.0, seed=2))
    torch.testing.assert_close(draw(0.5, seed=1), cold + 0.5 * _random(1))


def test_what_is_held_stays_the_draft_and_the_rest_is_drawn_as_without(given: Given) -> None:
    hold = torch.zeros(3, 1, 4, 4)
    hold[0, :, :2], hold[1, :, 1, 1], hold[1, :, 3, 3] = 1.0, 0.9, 0.4  # half a latent or less is not held
    held = (hold > 0.5).expand(SHAPE)
    path = (KIND, _random(1), torch.tensor([1.0, 0.7, 0.3]))
    network, free = nowhere(), nowhere()
    drawn = ViewSampler(6).translate(network, given, *path, hold=hold)
    unheld = ViewSampler(6).translate(free, given, *path)
    torch.testing.assert_close(drawn[held], given.draft[held], atol=1e-6, rtol=0)
    assert torch.equal(drawn[~held], unheld[~held])
    assert int(held.sum()) == 2 * (8 + 1)
    for call in network.seen:  # along the path, too: as noisy as what is around it
        on_path = interpolate(given.draft, path[1], call["t"])
        torch.testing.assert_close(call["x"][held], on_path[held], atol=1e-6, rtol=0)


def test_held_noise_is_of_the_same_temperature(given: Given) -> None:
    network = nowhere()
    ViewSampler(2, temperature=0.5).translate(
        network, given, KIND, _random(1), torch.ones(3), hold=torch.ones(3, 1, 4, 4)
    )
    torch.testing.assert_close(network.seen[1]["x"], 0.5 * given.draft + 0.25 * _random(1))


def test_without_guidance_the_network_is_called_once_a_step_and_sees_everything(given: Given) -> None:
    network = nowhere()
    ViewSampler(4, guidance=1.0).translate(network, given, KIND, _random(1), torch.ones(3))
    assert len(network.seen) == 4
    assert all(call["keep"].shape == (3, len(CONDITIONS)) and call["keep"].all() for call in network.seen)


def test_guidance_pushes_away_from_what_the_draft_alone_would_give(given: Given) -> None:
    def velocity(x: Tensor, t: Tensor, draft: Tensor, keep: Tensor) -> Tensor:
        return torch.where(keep.all(dim=1)[:, None, None, None], 1.0, 0.25).expand_as(x)

    network, noise = Known(velocity), _random(1)
    drawn = ViewSampler(2, guidance=3.0).translate(network, given, KIND, noise, torch.ones(3))
    torch.testing.assert_close(drawn, noise - (0.25 + 3 * 0.75))
    assert len(network.seen) == 4
    alone = torch.tensor([[name == "draft" for name in CONDITIONS]] * 3)
    assert torch.equal(network.seen[1]["keep"], alone)


def test_drawing_leaves_no_graph(given: Given) -> None:
    layer = nn.Conv2d(2, 2, 1)
    network = Known(lambda x, t, draft, keep: layer(x))
    drawn = ViewSampler(2).translate(network, given, KIND, _random(1), torch.ones(3))
    assert not drawn.requires_grad
