"""The features: known answers, and finite on any picture."""

import cv2
import numpy as np
import pytest

from skufp.actions.noise import noise_level
from skufp.actions.quality import FEATURES, quality
from skufp.actions.salience import salient_box
from skufp.actions.tilt import tilt

from .conftest import GARMENT, odd_pictures, turned


def _of(image: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, quality(image).tolist(), strict=True))


def test_finite_on_any_picture() -> None:
    for picture in odd_pictures():
        values = quality(picture)
        assert values.shape == (len(FEATURES),)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert np.abs(values).max() < 20
    assert len(set(FEATURES)) == len(FEATURES)


@pytest.mark.parametrize("sigma", [3.0, 10.0])
@pytest.mark.parametrize("shape", [(64, 64), (200, 300), (900, 700)])
def test_the_noise_that_was_added_is_found(sigma: float, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, (*shape, 1))
    picture = np.repeat(np.clip(128 + noise, 0, 255).round().astype(np.uint8), 3, axis=2)
    assert noise_level(picture) == pytest.approx(sigma, rel=0.15)


def test_stripes_are_little_noise(striped: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 10, (256, 256, 1))
    noisy = np.clip(striped + noise, 0, 255).round().astype(np.uint8)
    assert noise_level(striped) < 1
    assert noise_level(noisy) == pytest.approx(10, rel=0.25)


def test_sharpness_falls_with_blur(striped: np.ndarray) -> None:
    found = [_of(cv2.GaussianBlur(striped, (0, 0), s) if s else striped)["sharpness"] for s in (0, 1, 3)]
    assert found[0] > found[1] + 0.5 > found[2] + 1


def test_light_and_colour_of_plain_pictures() -> None:
    black, white = (_of(np.full((40, 60, 3), v, np.uint8)) for v in (0, 255))
    assert (black["brightness"], black["under_exposed"], black["over_exposed"]) == (0, 1, 0)
    assert (white["brightness"], white["under_exposed"], white["over_exposed"]) == (1, 0, 1)
    assert white["contrast"] == white["saturation"] == 0
    red = _of(np.full((40, 60, 3), (200, 0, 0), np.uint8))
    assert red["saturation"] == pytest.approx(1)
    assert red["a"] > 0.5
    assert red["cast_red"] == 0  # a thing, not a light
    warm = _of(np.full((40, 60, 3), (160, 140, 120), np.uint8))
    expected = np.log([160, 140, 120]) - np.log([160, 140, 120]).mean()
    assert [warm[f"cast_{c}"] for c in ("red", "green", "blue")] == pytest.approx(expected, abs=0.01)
    assert warm["aspect"] == pytest.approx(np.log(1.5))
    assert warm["size"] == pytest.approx(np.log2(60 / 256))


def test_half_black_half_white() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    found = _of(picture)
    assert (found["under_exposed"], found["over_exposed"]) == (0.5, 0.5)
    assert found["contrast"] == pytest.approx(0.5)
    assert (found["dark"], found["bright"]) == (0, 1)


def test_tilt_and_box_are_what_the_actions_see(striped: np.ndarray, garment: np.ndarray) -> None:
    large = cv2.resize(turned(striped, 7), (600, 600), interpolation=cv2.INTER_CUBIC)
    found = _of(large)
    assert (found["tilt"] * 45, found["tilt_confidence"]) == pytest.approx(tilt(large), abs=1e-5)
    large = cv2.resize(garment, None, fx=2.7, fy=2.7)
    found, box = _of(large), salient_box(large)
    assert [found[f"box_{side}"] for side in ("left", "top", "right", "bottom")] == pytest.approx(box[:4], abs=1e-6)
    assert [found["box_area"], found["box_contrast"]] == pytest.approx([box.area, box.contrast], abs=1e-6)
    share = (GARMENT[2] - GARMENT[0]) * (GARMENT[3] - GARMENT[1]) / (240 * 200)
    assert found["box_area"] == pytest.approx(share, abs=0.06)
