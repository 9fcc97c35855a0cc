"""Classic views: known answers for each step, decided by the seed, and errors that say what to type."""

from typing import Any

import cv2
import numpy as np
import pytest

from skufp.data.augment import foreground, squared
from skufp.errors import UserError
from skufp.generation.classic import MIXED, STEPS, ClassicViews
from skufp.generation.request import ViewCondition, ViewRequest

SIZE = 32


def _photo(height: int, width: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 200, (6, 5, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


PHOTO, OTHERS = _photo(90, 70, 0), (_photo(80, 60, 1), _photo(50, 70, 2))
MASK = np.zeros((SIZE, SIZE), np.float32)
MASK[8:24, 10:20] = 1


def _request(name: str, picture: np.ndarray = PHOTO, seed: int = 3, **more: Any) -> ViewRequest:
    about = {k: more.pop(k) for k in ("clean", "toward") if k in more}
    return ViewRequest(picture, ViewCondition(name, **about), "front", 1.0, seed, **more)


def _draw(*arguments: Any, views: ClassicViews | None = None, **more: Any) -> np.ndarray:
    return (views or ClassicViews(SIZE)).draw([_request(*arguments, **more)])[0]


@pytest.mark.parametrize("name", [*STEPS, MIXED])
@pytest.mark.parametrize("shape", [(90, 70), (SIZE, SIZE), (7, 300), (1, 1)])
def test_any_photo_becomes_the_asked_square_and_stays_itself(name: str, shape: tuple[int, int]) -> None:
    photo = _photo(*shape, seed=4)
    before = photo.copy()
    out = _draw(name, photo, others=OTHERS, mask=np.ones(shape, np.float32))
    assert (out.shape, out.dtype) == ((SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("name", ["crop", "perspective", "relight", "background", MIXED])
def test_the_seed_decides_whatever_is_drawn_beside_it(name: str) -> None:
    requests = [_request(name, _white_studio(), seed, others=OTHERS) for seed in (5, 6, 5)]
    first, other, again = ClassicViews(SIZE).draw(requests)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first, ClassicViews(SIZE).draw(requests[:1])[0])


def test_flip_is_the_mirrored_source() -> None:
    expected = cv2.resize(PHOTO, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[:, ::-1]
    assert np.array_equal(_draw("flip"), expected)


def test_crop_of_one_colour_stays_that_colour() -> None:
    plain = np.full((70, 50, 3), (20, 90, 160), np.uint8)
    for seed in range(10):
        assert np.all(_draw("crop", plain, seed=seed) == (20, 90, 160))


def test_crop_zooms_into_a_box_of_the_asked_area() -> None:
    y, x = np.mgrid[:200, :200]
    position = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)  # a pixel's colour says where it was
    areas = []
    for seed in range(80):
        out = _draw("crop", position, seed=seed, views=ClassicViews(200, crop_area=0.3)).astype(int)
        width, height = out[100, -1, 0] - out[100, 0, 0] + 1, out[-1, 100, 1] - out[0, 100, 1] + 1
        assert 0.7 < width / height < 1.42
        areas.append(width * height / 200**2)
    assert 0.28 < min(areas) < 0.36
    assert 0.94 < max(areas) < 1.01


@pytest.mark.parametrize("clean", [False, True])
def test_background_keeps_the_garment_and_changes_the_rest(clean: bool) -> None:
    photo = _photo(SIZE, SIZE, 0)
    out = _draw("background", photo, mask=MASK, others=OTHERS, clean=clean)
    assert np.array_equal(out[MASK == 1], photo[MASK == 1])
    assert np.mean(np.any(out[MASK == 0] != photo[MASK == 0], axis=-1)) > 0.95
    assert (len(np.unique(out[MASK == 0], axis=0)) == 1) == clean


def test_background_without_other_photos_is_an_even_light_colour() -> None:
    colours = np.stack([_draw("background", mask=np.zeros((90, 70), np.float32), seed=s)[0] for s in range(20)])
    assert np.all(colours == colours[:, :1])
    assert colours.min() > 180
    assert len(np.unique(colours[:, 0], axis=0)) > 15


def test_background_comes_from_one_of_the_other_photos() -> None:
    others = tuple(np.full((40, 40, 3), level, np.uint8) for level in (10, 90))
    mask = np.zeros((90, 70), np.float32)
    seen = {tuple(np.unique(_draw("background", mask=mask, others=others, seed=s))) for s in range(20)}
    assert seen == {(10,), (90,)}


def _white_studio() -> np.ndarray:
    photo = np.full((SIZE, SIZE, 3), 250, np.uint8)
    photo[8:24, 10:22] = (30, 60, 120)
    return photo


def test_background_without_a_mask_keeps_what_stands_before_an_even_one() -> None:
    photo = _white_studio()
    out, mask = _draw("background", photo, others=OTHERS), foreground(photo)
    assert np.array_equal(out[mask == 1], photo[mask == 1])
    assert np.all(out[mask == 0].max(axis=-1) < 250)  # the other photos have nothing that light
    assert (mask == 1).sum() > 50


def test_relight_keeps_every_edge_and_the_order_of_levels() -> None:
    ramp = np.repeat(np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], SIZE, axis=0), 3, axis=2)
    out = _draw("relight", ramp).astype(int)
    assert np.all(np.diff(out, axis=1) >= 0)
    assert not np.array_equal(out, ramp)


def test_perspective_fills_what_comes_in_from_outside_with_the_edge_colour() -> None:
    photo = np.full((64, 64, 3), (200, 10, 10), np.uint8)
    photo[16:48, 16:48] = (10, 10, 200)
    views = ClassicViews(64, strength=2.0)
    outside = [_draw("perspective", photo, seed=seed, views=views).reshape(-1, 3) for seed in range(10)]
    assert max(out[:, 1].max() for out in outside) < 80  # green is where white would show: 64 where the two blend
    assert len({out.tobytes() for out in outside}) == 10


@pytest.mark.parametrize("name", ["crop", "relight"])
def test_without_strength_the_source_is_left(name: str) -> None:
    out = _draw(name, views=ClassicViews(SIZE, strength=0.0))
    assert np.abs(out.astype(int) - squared(PHOTO, SIZE)).max() <= 1


def test_mixed_takes_each_step_by_chance_and_one_at_least() -> None:
    views = ClassicViews(SIZE)
    taken = [views._steps(ViewCondition(MIXED), np.random.default_rng(seed)) for seed in range(300)]
    assert min(len(steps) for steps in taken) == 1
    assert max(len(steps) for steps in taken) == len(STEPS)
    for step in STEPS:
        assert 0.4 < np.mean([step in steps for steps in taken]) < 0.6
    rare = ClassicViews(SIZE, chance=0.0)
    assert {len(rare._steps(ViewCondition(MIXED), np.random.default_rng(seed))) for seed in range(20)} == {1}


def test_mixed_moves_the_mask_with_the_picture() -> None:
    photo = np.full((64, 64, 3), (250, 0, 250), np.uint8)  # magenta, but for a green garment
    mask = np.zeros((64, 64), np.float32)
    mask[20:44, 16:40] = 1
    photo[mask == 1] = (0, 250, 0)
    grey = (np.full((40, 40, 3), 100, np.uint8),)
    views = ClassicViews(64, cast=0, exposure=0, gamma=0, chance=1.0)  # every step, but the light stays
    for seed in range(10):
        out = _draw(MIXED, photo, mask=mask, others=grey, seed=seed, views=views).reshape(-1, 3).astype(int)
        magenta = (out[:, 0] > 180) & (out[:, 1] < 60)
        green = (out[:, 1] > 180) & (out[:, 0] < 60)
        assert magenta.sum() == 0
        assert green.sum() > 200


def test_an_unknown_condition_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no view condition 'backgroud'.*Did you mean 'background'"):
        _draw("backgroud")


def test_a_condition_toward_another_sku_is_refused() -> None:
    with pytest.raises(UserError, match=r"views\.actions\.crop leads toward another SKU \(sibling\)"):
        _draw("crop", toward="sibling")


@pytest.mark.parametrize("settings", [{"strength": -1.0}, {"crop_area": 0.0}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"views\.generator\.strength"):
        ClassicViews(**settings)
