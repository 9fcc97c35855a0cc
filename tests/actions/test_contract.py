"""What holds for every action of conf/actions/default.yaml, on any picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from skufp.actions.background import Background
from skufp.actions.deskew import Deskew
from skufp.actions.exposure import Exposure
from skufp.actions.sharpen import Sharpen
from skufp.actions.smart_crop import SmartCrop
from skufp.actions.white_balance import WhiteBalance
from skufp.config import build, check_targets
from skufp.errors import UserError

from .conftest import odd_pictures

DEFAULT = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf" / "actions" / "default.yaml"))
ACTIONS = DEFAULT["actions"]


def test_the_yaml_names_each_class_by_its_own_name_identity_first() -> None:
    assert DEFAULT["name"] == "default"
    assert next(iter(ACTIONS)) == "identity"
    check_targets(ACTIONS)
    for name, spec in ACTIONS.items():
        action = build(spec)
        assert action.name == name
        assert type(action).__module__ == f"skufp.actions.{name}"
        assert type(action).__name__ == name.title().replace("_", "")


@pytest.mark.parametrize("name", ACTIONS)
def test_any_picture_comes_back_as_a_picture(name: str) -> None:
    action = build(ACTIONS[name])
    for picture in odd_pictures():
        before = picture.copy()
        picture.flags.writeable = False  # as a decoded file's array is
        out = action(picture)
        assert out.dtype == np.uint8
        assert out.ndim == 3
        assert out.shape[2] == 3
        assert min(out.shape) >= 1
        assert np.array_equal(picture, before)
        if name not in ("smart_crop",):
            assert out.shape == picture.shape


@pytest.mark.parametrize("name", ACTIONS)
def test_one_colour_stays_that_colour(name: str) -> None:
    picture = np.full((70, 90, 3), (200, 40, 90), np.uint8)
    assert np.array_equal(build(ACTIONS[name])(picture), picture)


@pytest.mark.parametrize("name", ACTIONS)
def test_the_same_picture_gives_the_same_bytes_whatever_came_before(name: str, garment: np.ndarray) -> None:
    noisy = np.clip(garment + np.random.default_rng(1).normal(0, 8, garment.shape), 0, 255).astype(np.uint8)
    first = build(ACTIONS[name])(noisy)
    cv2.setRNGSeed(99)
    action = build(ACTIONS[name])
    action(garment[::-1])
    assert np.array_equal(action(noisy), first)


@pytest.mark.parametrize("name", ["smart_crop", "background", "white_balance", "deskew"])
def test_doing_it_again_changes_much_less(name: str, striped: np.ndarray) -> None:
    spoiled = (striped * np.array([0.85, 0.7, 0.6])).astype(np.uint8)
    action = build(ACTIONS[name])
    once = action(spoiled)
    twice = action(once)
    assert abs(once.size - twice.size) < 0.12 * once.size
    if once.shape == twice.shape == spoiled.shape:
        first, second = cv2.absdiff(once, spoiled).mean(), cv2.absdiff(twice, once).mean()
        assert second <= max(0.5, 0.5 * first)


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (lambda: SmartCrop(margin=-1), "smart_crop.margin"),
        (lambda: SmartCrop(min_area=float("nan")), "smart_crop.min_area"),
        (lambda: Sharpen(amount="much"), "sharpen.amount"),  # type: ignore[arg-type]
        (lambda: Deskew(max_degrees=90), "deskew.max_degrees"),
        (lambda: Deskew(min_degrees=5, max_degrees=2), "deskew.max_degrees"),
        (lambda: Exposure(middle=[0.6, 0.4]), r"exposure.middle\[1\]"),
        (lambda: Exposure(middle=[0.4]), "exposure.middle"),
        (lambda: WhiteBalance(strength=2), "white_balance.strength"),
        (lambda: Background(method="grabcutt"), "background.method.*Did you mean 'grabcut'"),
        (lambda: Background(fill="black"), "background.fill"),
        (lambda: Background(method="selfie"), "background.weights.*npm pack"),
        (lambda: Background(weights="net.tflite"), "background.weights.*method=selfie"),
        (lambda: build({**ACTIONS["denoise"], "strenght": 1}), "strength"),
    ],
)
def test_a_wrong_setting_is_named(make: object, setting: str) -> None:
    with pytest.raises(UserError, match=setting):
        make()  # type: ignore[operator]


def test_selfie_refuses_a_file_that_is_no_network(tmp_path: Path) -> None:
    file = tmp_path / "selfie_segmentation.tflite"
    file.write_bytes(b"not a network at all")
    with pytest.raises(UserError, match="selfie_segmentation"):
        Background(method="selfie", weights=str(file))
