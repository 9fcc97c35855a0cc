"""Known answers: a fault is put into a drawn picture, and the action takes it out."""

import cv2
import numpy as np
import pytest

from skufp.actions.background import Background
from skufp.actions.denoise import Denoise
from skufp.actions.deskew import Deskew
from skufp.actions.exposure import Exposure
from skufp.actions.light import cast
from skufp.actions.refine import Refine
from skufp.actions.salience import salient_box
from skufp.actions.sharpen import Sharpen
from skufp.actions.smart_crop import SmartCrop
from skufp.actions.tilt import tilt
from skufp.actions.white_balance import WhiteBalance

from .conftest import GARMENT, turned


def _laplacian(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("degrees", [-20.0, -9.0, 4.0, 15.0])
def test_a_tilted_square_is_turned_upright(striped: np.ndarray, degrees: float) -> None:
    spoiled = turned(striped, degrees)
    found, confidence = tilt(spoiled)
    assert found == pytest.approx(degrees, abs=1.5)
    assert confidence > 0.5
    upright = Deskew()(spoiled)
    assert tilt(upright)[0] == pytest.approx(0, abs=1)
    middle = slice(80, 176)  # clear of the stripes' ends
    assert (
        cv2.absdiff(upright, striped)[middle, middle].mean()
        < 0.3 * cv2.absdiff(spoiled, striped)[middle, middle].mean()
    )


def test_an_upright_photo_and_one_turned_too_far_are_left_alone(striped: np.ndarray) -> None:
    assert Deskew()(striped) is striped
    far = turned(striped, 25)
    assert Deskew(max_degrees=20)(far) is far


@pytest.mark.parametrize("light", [(1.15, 1.0, 0.87), (0.9, 1.0, 1.1), (1.0, 1.18, 1.0)])
def test_a_grey_card_is_grey_again_and_as_bright(light: tuple[float, float, float]) -> None:
    card = np.full((120, 100, 3), 140, np.uint8)
    card[40:80, 30:70] = 90
    spoiled = (card * np.array(light)).round().astype(np.uint8)
    logs = np.log(light) - np.log(light).mean()
    assert cast(spoiled, 0.3) == pytest.approx(logs, abs=0.01)
    out = WhiteBalance(strength=1.0)(spoiled)
    assert np.ptp(out.astype(int), axis=2).max() <= 1
    damped = WhiteBalance(strength=0.5)(spoiled)
    assert np.log(damped[0, 0] / 140) - np.log(damped[0, 0] / 140).mean() == pytest.approx(logs / 2, abs=0.01)


def test_a_red_dress_is_no_red_light(garment: np.ndarray) -> None:
    grey = garment.copy()
    grey[(garment == (205, 200, 190)).all(axis=2)] = (200, 200, 200)
    assert WhiteBalance()(grey) is grey
    only_dress = np.full((60, 60, 3), (180, 30, 40), np.uint8)
    assert WhiteBalance()(only_dress) is only_dress


@pytest.mark.parametrize("gamma", [1.35, 0.75])
def test_the_median_of_a_dark_or_pale_picture_returns(scene: np.ndarray, gamma: float) -> None:
    spoiled = (255 * (scene / 255.0) ** gamma).round().astype(np.uint8)
    assert abs(np.median(spoiled) - 128) > 15
    out = Exposure(middle=(0.5, 0.5))(spoiled)
    assert np.median(out) == pytest.approx(127.5, abs=3)


def test_a_dim_picture_is_stretched_to_white_and_keeps_its_hue() -> None:
    ramp = np.linspace(10, 200, 256)[None, :, None] * np.array([1.0, 0.6, 0.4])
    picture = np.repeat(ramp, 64, axis=0).astype(np.uint8)
    out = Exposure(black=0.0, white=0.4, middle=(0.05, 0.95))(picture)
    grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
    assert np.quantile(grey, 0.985) > 1.15 * np.quantile(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 0.985)
    before, after = picture[5, 128].astype(float), out[5, 128].astype(float)
    assert after / after.sum() == pytest.approx(before / before.sum(), abs=0.02)


def test_a_picture_once_exposed_is_left_nearly_alone(scene: np.ndarray) -> None:
    dim = (scene * 0.85).astype(np.uint8)
    once = Exposure()(dim)
    assert cv2.absdiff(Exposure()(once), once).mean() < 0.25 * cv2.absdiff(once, dim).mean()


def test_a_black_picture_is_not_made_grey() -> None:
    dark = _noisy(np.full((64, 64, 3), 12, np.uint8), 1)
    assert np.median(Exposure()(dark)) < 40


@pytest.mark.parametrize("action", [Denoise(), Refine()])
def test_noise_falls_and_the_edge_stays(action: Denoise | Refine) -> None:
    clean = np.full((120, 120, 3), 70, np.uint8)
    clean[:, 60:] = 170
    noisy = _noisy(clean, 8)
    out = action(noisy)
    flat = slice(70, 115)
    share = 0.6 if isinstance(action, Denoise) else 0.95
    assert out[:, flat].std() < share * noisy[:, flat].std()
    step = out[:, 61].mean() - out[:, 58].mean()
    assert step > 90


def test_a_clean_picture_needs_no_denoising(garment: np.ndarray) -> None:
    assert Denoise()(garment) is garment


def test_sharpening_undoes_blur(striped: np.ndarray) -> None:
    soft = cv2.GaussianBlur(striped, (0, 0), 1.3)
    out = Sharpen(1.0)(soft)
    assert _laplacian(out) > 1.5 * _laplacian(soft)
    assert cv2.absdiff(out, striped).mean() < cv2.absdiff(soft, striped).mean()
    assert np.array_equal(Sharpen(0.0)(soft), soft)
    assert _laplacian(soft) < _laplacian(Refine()(soft)) < _laplacian(out)


def test_the_garment_is_boxed_and_cut_out(garment: np.ndarray) -> None:
    box = salient_box(garment)
    found = np.array(box[:4]) * (200, 240, 200, 240)
    assert found == pytest.approx(np.array(GARMENT), abs=5)
    out = SmartCrop(margin=0.1)(garment)
    assert out.shape[:2] == pytest.approx((180 * 1.2, 120 * 1.2), abs=10)
    assert (out[0, 0] == (205, 200, 190)).all()
    red = (out[..., 0] - out[..., 1].astype(int) > 50).sum()
    assert red == 180 * 120  # nothing of it is lost


def test_smart_crop_leaves_a_button_alone(garment: np.ndarray) -> None:
    wall = np.full_like(garment, 200)
    wall[100:120, 90:110] = (10, 10, 160)
    assert SmartCrop()(wall) is wall
    assert SmartCrop(min_area=0.0)(wall).size < 0.1 * wall.size


@pytest.mark.parametrize("fill", ["white", "blur"])
def test_the_background_goes_and_the_garment_stays(garment: np.ndarray, fill: str) -> None:
    busy = garment.copy()
    busy[::8, :30] = (150, 160, 190)
    out = Background(fill=fill)(busy)
    left, top, right, bottom = GARMENT
    inside = (slice(top + 8, bottom - 8), slice(left + 8, right - 8))
    assert cv2.absdiff(out, busy)[inside].max() <= 1
    outside = out[:, : left - 12]
    if fill == "white":
        assert outside.min() > 250
    else:
        assert outside.std() < 0.8 * busy[:, : left - 12].std()


def test_background_leaves_a_photo_alone_whose_middle_would_go() -> None:
    corner = np.full((100, 100, 3), 200, np.uint8)
    corner[10:45, 5:30] = (20, 120, 30)
    assert Background(min_area=0.05)(corner) is corner
