"""Augmentation: shape and type stay, the generator decides, and every step does something."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from skufp.data.augment import PhonePhoto, degrade, foreground, occlude, paste, piece, relight, squared, warp

Step = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SIZE = 64


def _noise(height: int, width: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


PHOTO, OTHERS = _noise(SIZE, SIZE, 0), [_noise(70, 50, 1), _noise(40, 90, 2)]
STEPS: dict[str, Step] = {
    "warp": lambda image, rng: warp(image, None, SIZE, 1.0, rng)[0],
    "relight": lambda image, rng: relight(image, 0.14, 0.12, 0.15, rng),
    "occlude": lambda image, rng: occlude(image, _noise(SIZE, SIZE, 3), rng),
    "simulate": lambda image, rng: PhonePhoto().simulate(image, OTHERS, SIZE, rng),
    "query": lambda image, rng: PhonePhoto().query(image, SIZE, rng),
    "catalogue": lambda image, rng: PhonePhoto().catalogue(image, SIZE, rng),
}


@pytest.mark.parametrize("name", STEPS)
def test_step_keeps_shape_and_type_and_changes_the_picture(name: str) -> None:
    before = PHOTO.copy()
    out = STEPS[name](PHOTO, np.random.default_rng(1))
    assert (out.shape, out.dtype) == (PHOTO.shape, np.uint8)
    assert not np.array_equal(out, PHOTO)
    assert np.array_equal(PHOTO, before)  # the argument itself is left alone


@pytest.mark.parametrize("name", STEPS)
def test_step_is_decided_by_the_generator(name: str) -> None:
    first, again, other = (STEPS[name](PHOTO, np.random.default_rng(seed)) for seed in (2, 2, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_degrading_mostly_changes_the_picture() -> None:
    results = [degrade(PHOTO, np.random.default_rng(seed)) for seed in range(40)]
    assert all((r.shape, r.dtype) == (PHOTO.shape, np.uint8) for r in results)
    assert sum(not np.array_equal(r, PHOTO) for r in results) > 30
    assert np.array_equal(results[7], degrade(PHOTO, np.random.default_rng(7)))


@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (300, 7), (SIZE, SIZE)])
def test_any_size_becomes_the_asked_square(shape: tuple[int, int]) -> None:
    image = _noise(*shape, seed=4)
    phone = PhonePhoto(occlusion_share=1.0)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        for out in (
            phone.simulate(image, [image], 48, rng),
            phone.query(image, 48, rng),
            phone.catalogue(image, 48, rng),
        ):
            assert (out.shape, out.dtype) == ((48, 48, 3), np.uint8)


def test_foreground_is_what_stands_before_an_even_background() -> None:
    image = np.full((60, 60, 3), 240, np.uint8)
    image[20:40, 15:45] = (30, 60, 90)
    mask = foreground(image)
    assert (mask.dtype, mask.shape) == (np.float32, (60, 60))
    assert mask[25:35, 20:40].min() == 1.0
    assert mask[:15].max() < 0.05


@pytest.mark.parametrize("image", [PHOTO, np.full((40, 40, 3), 240, np.uint8), np.zeros((40, 40, 3), np.uint8)])
def test_without_a_background_everything_is_foreground(image: np.ndarray) -> None:
    assert np.all(foreground(image) == 1.0)


def test_shrinking_averages_areas_and_does_not_keep_the_aspect() -> None:
    picture = np.zeros((8, 4, 3), np.uint8)
    picture[:4, :2], picture[4:, 2:] = 200, 100
    assert squared(picture, 2)[..., 0].tolist() == [[200, 0], [0, 100]]
    mask = np.zeros((8, 4), np.float32)
    mask[:2, :2] = 1
    assert squared(mask, 2).tolist() == [[0.5, 0], [0, 0]]


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    mask = np.random.default_rng(1).random((16, 16)).round(4).astype(np.float32)
    assert np.array_equal(squared(picture, 16), picture)
    np.testing.assert_array_equal(squared(mask, 16), mask)


@pytest.mark.parametrize("side", [7, 40])
def test_masks_stay_between_0_and_1_and_full_ones_full(side: int) -> None:
    edge = (np.random.default_rng(0).random((23, 17)) > 0.5).astype(np.float32)
    resized = squared(edge, side)
    assert resized.dtype == np.float32
    assert 0 <= resized.min() <= resized.max() <= 1
    assert (squared(np.ones((23, 17), np.float32), side) == 1).all()


def test_warp_without_strength_is_the_picture_or_its_mirror() -> None:
    seen = set()
    for seed in range(12):
        out, mask = warp(PHOTO, None, SIZE, 0.0, np.random.default_rng(seed))
        distances = [np.abs(out.astype(int) - candidate).mean() for candidate in (PHOTO, PHOTO[:, ::-1])]
        assert 3 * min(distances) < max(distances)
        assert mask[2:-2, 2:-2].min() > 0.99
        seen.add(int(np.argmin(distances)))
    assert seen == {0, 1}


def test_warp_moves_the_mask_with_the_picture() -> None:
    black, mask = np.zeros((50, 40, 3), np.uint8), np.ones((50, 40), np.float32)
    outside = []
    for seed in range(10):
        out, moved = warp(black, mask, SIZE, 2.0, np.random.default_rng(seed))
        assert out[moved == 1].mean() < 2
        outside.append(out[moved == 0])
    assert np.concatenate(outside).mean() > 250  # what came in from outside is white


def test_paste_shows_the_background_where_the_mask_is_zero() -> None:
    image, background = np.full((4, 4, 3), 200, np.uint8), np.full((4, 4, 3), 100, np.uint8)
    mask = np.array([[0, 0.5, 1, 1]] * 4, np.float32)
    assert paste(image, mask, background)[0, :, 0].tolist() == [100, 150, 200, 200]


def test_piece_comes_from_one_of_the_photos() -> None:
    photos = [np.full((30, 50, 3), level, np.uint8) for level in (10, 200)]
    levels = set()
    for seed in range(20):
        out = piece(photos, 16, np.random.default_rng(seed))
        assert out.shape == (16, 16, 3)
        levels.add(tuple(np.unique(out)))
    assert levels == {(10,), (200,)}


def test_occlusion_covers_a_part_and_only_with_the_other_picture() -> None:
    image, other = np.zeros((100, 100, 3), np.uint8), np.full((100, 100, 3), 255, np.uint8)
    shares = [occlude(image, other, np.random.default_rng(seed)).mean() / 255 for seed in range(20)]
    assert all(0 < share < 0.4 for share in shares)


def test_catalogue_keeps_its_colours() -> None:
    red = np.full((SIZE, SIZE, 3), (200, 30, 40), np.uint8)
    middle = PhonePhoto().catalogue(red, SIZE, np.random.default_rng(0))[24:40, 24:40]
    assert np.all(middle == (200, 30, 40))


def test_channels_stay_in_order() -> None:
    red = np.full((SIZE, SIZE, 3), (220, 40, 10), np.uint8)
    for seed in range(8):
        mean = PhonePhoto().query(red, SIZE, np.random.default_rng(seed))[16:48, 16:48].reshape(-1, 3).mean(axis=0)
        assert mean[0] > mean[1] > mean[2]


def test_relight_without_strength_is_the_picture_itself() -> None:
    out = relight(PHOTO, 0.0, 0.0, 0.0, np.random.default_rng(0))
    assert np.abs(out.astype(int) - PHOTO).max() <= 1
