"""Noisy twins: nearly the same photo, never the same, and always the same twin."""

import cv2
import numpy as np
import pytest

from skufp.data.noisy_twin import noisy_twin


def photo(height: int = 300, width: int = 200) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(40, 215, (6, 5, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def test_one_to_two_per_cent_of_each_side_are_cut_at_changing_places() -> None:
    heights, widths = zip(*(noisy_twin(photo(), f"q{i}").shape[:2] for i in range(40)), strict=True)
    assert {294, 297} <= set(heights) <= set(range(294, 298))
    assert {196, 198} <= set(widths) <= set(range(196, 199))


def test_a_twin_looks_like_its_photo_but_is_another() -> None:
    image = photo()
    for i in range(5):
        twin = cv2.resize(noisy_twin(image, f"q{i}"), (200, 300)).astype(float)
        apart = np.abs(twin - image).mean()
        assert 1 < apart < 12
        assert 0.85 < twin.mean() / image.mean() < 1.15


def test_exposure_and_noise_vary_and_jpeg_leaves_its_blocks() -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    twins = [noisy_twin(grey, f"q{i}").astype(float) for i in range(30)]
    gains = np.log([twin.mean() / 128 for twin in twins])
    assert 0.015 < gains.std() < 0.06
    assert abs(gains.mean()) < 0.03
    assert all(0.3 < twin.std() < 4 for twin in twins)


def test_red_stays_red() -> None:
    red = np.zeros((64, 64, 3), np.uint8) + np.array([200, 30, 40], np.uint8)
    mean = noisy_twin(red, "q").mean(axis=(0, 1))
    assert mean[0] > 150 > 80 > mean[1:].max()


def test_one_name_one_twin_and_the_photo_is_left_alone() -> None:
    image = photo()
    before = image.copy()
    first = noisy_twin(image, "validation/a")
    np.testing.assert_array_equal(first, noisy_twin(image, "validation/a"))
    np.testing.assert_array_equal(image, before)
    other = noisy_twin(image, "validation/b")
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 3)])
def test_the_smallest_pictures_have_twins(shape: tuple[int, int]) -> None:
    twin = noisy_twin(np.full((*shape, 3), 90, np.uint8), "q")
    assert twin.shape == (*(max(1, side - 1) for side in shape), 3)
    assert twin.dtype == np.uint8
