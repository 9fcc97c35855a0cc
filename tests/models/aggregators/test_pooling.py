"""Poolings against naive loops over SKUs and views, and hand-placed angles."""

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skufp.errors import UserError
from skufp.models.aggregators.pooling import GeM, Mean, Medoid, TrimmedMean, masked_mean, spread

Make = Callable[..., nn.Module]
Batch = Callable[..., tuple[Tensor, Tensor, Tensor]]

COUNTS = [1, 2, 3, 5, 8, 20]
NO_META = torch.zeros(0)


def _unit(*degrees: float) -> Tensor:
    """One SKU whose views lie in a plane at these angles: [1, V, 2]."""
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)[None]


def _pool(model: nn.Module, views: Tensor) -> Tensor:
    return model(views, torch.ones(views.shape[:2], dtype=torch.bool), NO_META)


def _real(views: Tensor, counts: list[int]) -> list[list[Tensor]]:
    return [[views[i, j] for j in range(count)] for i, count in enumerate(counts)]


def test_masked_mean_is_the_mean_of_real_views(batch: Batch) -> None:
    views, mask, _ = batch(COUNTS)
    expected = torch.stack([sum(sku) / len(sku) for sku in _real(views, COUNTS)])  # type: ignore[misc]
    assert torch.allclose(masked_mean(views + (~mask[..., None]) * 99.0, mask), expected, atol=1e-6)


@pytest.mark.parametrize(("degrees", "expected"), [((30.0,), 0), ((0.0, 90.0), 0.5), ((0.0, 180.0), 1), ((7, 7), 0)])
def test_spread_of_hand_placed_views(degrees: tuple[float, ...], expected: float) -> None:
    views = _unit(*degrees)
    value = spread(views, torch.ones(views.shape[:2], dtype=torch.bool))
    assert float(value) == pytest.approx(expected, abs=1e-12)


def test_mean_of_hand_placed_views_halves_the_angle() -> None:
    assert torch.allclose(_pool(Mean(2), _unit(10, 50)), _unit(30)[0])


def test_medoid_equals_a_double_loop(batch: Batch) -> None:
    views, mask, meta = batch(COUNTS, seed=1)
    out = Medoid(32)(views, mask, meta)
    for i, sku in enumerate(_real(views, COUNTS)):
        if len(sku) == 2:
            continue  # both are medoids
        sums = [sum(float(a @ b) for k, b in enumerate(sku) if k != j) for j, a in enumerate(sku)]
        assert torch.equal(out[i], sku[sums.index(max(sums))])


def test_medoid_of_hand_placed_views_is_the_middle_one() -> None:
    # Sums of cosines: the view at 20 degrees has the nearest neighbours on both sides.
    assert torch.equal(_pool(Medoid(2), _unit(90, 0, 20, 40, -30)), _unit(20)[0])


def test_medoid_of_a_tie_is_one_of_the_views_in_any_order() -> None:
    # Three views at 120 degrees tie exactly, two views always do.
    for degrees in [(0.0, 120.0, 240.0), (120.0, 240.0, 0.0), (240.0, 0.0, 120.0)]:
        assert torch.allclose(_pool(Medoid(2), _unit(*degrees)), _pool(Medoid(2), _unit(0, 120, 240)))
    chosen = _pool(Medoid(2), _unit(10, 70))
    assert torch.equal(chosen, _pool(Medoid(2), _unit(70, 10)))
    assert any(torch.equal(chosen, _unit(angle)[0]) for angle in (10, 70))


def test_medoid_of_two_photos_uploaded_twice_is_the_same_in_any_order(batch: Batch) -> None:
    # All four views tie, up to rounding that changes with the order of the sum.
    views, _, _ = batch([2] * 300, seed=6)
    twice = views.repeat(1, 2, 1)
    expected = _pool(Medoid(32), twice)
    for order in permutations(range(4)):
        assert torch.equal(_pool(Medoid(32), twice[:, order]), expected)


@pytest.mark.parametrize("trim", [0.0, 0.2, 0.34, 0.5, 0.99])
def test_trimmed_mean_equals_a_loop(trim: float, batch: Batch) -> None:
    views, mask, meta = batch(COUNTS, seed=2)
    out = TrimmedMean(32, trim=trim)(views, mask, meta)
    for i, sku in enumerate(_real(views, COUNTS)):
        centre = sum(sku) / len(sku)  # type: ignore[operator]
        nearest_first = sorted(sku, key=lambda view, centre=centre: -float(view @ centre))  # type: ignore[misc]
        dropped = math.floor(trim * len(sku)) if len(sku) >= 3 else 0
        kept = nearest_first[: len(sku) - dropped]
        assert torch.allclose(out[i], F.normalize(sum(kept), dim=0), atol=1e-6)  # type: ignore[arg-type]


def test_trimmed_mean_drops_the_odd_view_out() -> None:
    assert torch.allclose(_pool(TrimmedMean(2, trim=0.2), _unit(10, 150, 20, 30, 40)), _unit(25)[0])
    assert torch.allclose(
        _pool(TrimmedMean(2, trim=0.2), _unit(10, 150, 20, 40)), _pool(Mean(2), _unit(10, 150, 20, 40))
    )
    assert torch.allclose(_pool(TrimmedMean(2, trim=0.9), _unit(10, 50)), _unit(30)[0])  # of two none is odd


def test_trimmed_mean_does_not_lose_a_view_to_rounding() -> None:
    # 6 / 37 * 37 is 5.999... in float32: six views have to go, and the 31 at 0 degrees stay.
    views = _unit(*[0.0] * 31, *[40.0] * 6)
    assert torch.allclose(_pool(TrimmedMean(2, trim=6 / 37), views), _unit(0)[0])


def test_a_rotation_of_the_space_rotates_the_trimmed_mean(batch: Batch) -> None:
    views, mask, meta = batch(COUNTS, seed=4)
    rotation = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0]
    model = TrimmedMean(32, trim=0.34)
    assert torch.allclose(model(views @ rotation, mask, meta), model(views, mask, meta) @ rotation, atol=1e-5)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0, 40.0])
def test_gem_equals_a_loop_over_coordinates(p: float, batch: Batch) -> None:
    views, mask, meta = batch(COUNTS, seed=3)
    out = GeM(32, p=p)(views, mask, meta)
    for i, sku in enumerate(_real(views.double(), COUNTS)):
        pooled = []
        for d in range(32):
            mean = sum(math.copysign(abs(float(view[d])) ** p, float(view[d])) for view in sku) / len(sku)
            pooled.append(math.copysign(abs(mean) ** (1 / p), mean))
        expected = F.normalize(torch.tensor(pooled, dtype=torch.float64), dim=0)
        assert torch.allclose(out[i].double(), expected, atol=1e-4)


def test_gem_of_hand_placed_views() -> None:
    views = torch.tensor([[[0.6, 0.8], [0.6, -0.8], [0.8, 0.6]]])
    # p=3: (2 * 0.216 + 0.512) / 3 and (0.512 - 0.512 + 0.216) / 3, each to the power 1/3.
    expected = F.normalize(torch.tensor([[0.944 ** (1 / 3), 0.216 ** (1 / 3)]]), dim=1)
    assert torch.allclose(_pool(GeM(2, p=3.0), views), expected, atol=1e-6)


def test_gem_of_views_that_cancel_is_zero_there_and_not_blown_up_rounding_error() -> None:
    up, down = _unit(37, 11, 71).float(), _unit(-37, -11, -71).float()
    out = _pool(GeM(2, p=6.0), torch.cat([up, down], dim=1))
    assert torch.allclose(out, torch.tensor([[1.0, 0.0]]), atol=1e-6)


def test_gem_with_exponent_one_is_the_mean(batch: Batch) -> None:
    inputs = batch(COUNTS)
    assert torch.allclose(GeM(32, p=1.0)(*inputs), Mean(32)(*inputs), atol=1e-6)


def test_gem_learns_its_exponent_even_where_views_cancel() -> None:
    # The first SKU cancels in one coordinate and is zero in another: the root is infinitely steep there.
    views = torch.tensor([[[0.6, 0.8, 0.0], [0.8, -0.6, 0.0], [0.6, -0.8, 0.0], [0.8, 0.6, 0.0]]])
    views = torch.cat([views, F.normalize(torch.tensor([[[9.0, 1, 2], [3, 5, 1], [1, 1, 8], [2, 2, 1]]]), dim=-1)])
    model = GeM(3, p=3.0, learn=True)
    target = _pool(GeM(3, p=6.0), views)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.3)
    assert isinstance(model.p, nn.Parameter)
    assert float(model.p) == 3
    for _ in range(100):
        loss = (1 - (_pool(model, views) * target).sum(dim=-1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(model.p) == pytest.approx(6.0, abs=0.2)


def test_poolings_have_nothing_to_learn(make: Make) -> None:
    for name in ("mean", "medoid", "trimmed_mean", "gem"):
        assert list(make(name).parameters()) == []


@pytest.mark.parametrize("trim", [-0.1, 1.0, 20])
def test_a_share_outside_0_to_1_is_refused(trim: float) -> None:
    with pytest.raises(UserError, match=r"0 <= trim < 1.*Try trim=0\.2"):
        TrimmedMean(4, trim=trim)


def test_an_exponent_that_is_not_positive_is_refused() -> None:
    with pytest.raises(UserError, match="p has to be positive, not 0"):
        GeM(4, p=0)
