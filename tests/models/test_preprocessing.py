"""Preprocessing: pixel for pixel what transformers does, and a hash of every setting."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor

from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing
from skufp.models.pretrained import preprocessing_of, processor_config


def _noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(("width", "height"), [(97, 61), (40, 200), (64, 64), (300, 20)])
@pytest.mark.parametrize("resample", [2, 3])
def test_equals_the_siglip_image_processor(tmp_path: Path, width: int, height: int, resample: int) -> None:
    config = {
        "image_processor_type": "SiglipImageProcessor", "size": {"height": 64, "width": 64}, "resample": resample,
        "image_mean": [0.48, 0.45, 0.41], "image_std": [0.27, 0.26, 0.28], "do_resize": True, "do_normalize": True,
        "do_rescale": True,
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(processor).__name__ == "SiglipImageProcessorPil"
    picture = _noise(width, height)
    expected = processor(picture, return_tensors="np")["pixel_values"][0]
    ours = Preprocessing(64, (0.48, 0.45, 0.41), (0.27, 0.26, 0.28), resample)(picture)
    assert ours.shape == (3, 64, 64)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize(("width", "height"), [(97, 61), (40, 200), (64, 64), (300, 20), (83, 251), (65, 64)])
@pytest.mark.parametrize(("edge", "side"), [(32, 32), (37, 32), (50, 33)])
def test_equals_the_clip_image_processor(tmp_path: Path, width: int, height: int, edge: int, side: int) -> None:
    config = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": edge}, "do_center_crop": True,
        "crop_size": {"height": side, "width": side}, "resample": 3, "image_mean": [0.48, 0.45, 0.41],
        "image_std": [0.27, 0.26, 0.28], "do_resize": True, "do_normalize": True, "do_rescale": True,
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert type(processor).__name__ == "CLIPImageProcessorPil"
    picture = _noise(width, height)
    ours = preprocessing_of(processor, "here")
    assert ours == Preprocessing(side, (0.48, 0.45, 0.41), (0.27, 0.26, 0.28), 3, shortest_edge=edge)
    np.testing.assert_allclose(ours(picture), processor(picture, return_tensors="np")["pixel_values"][0], atol=1e-6)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor_config(ours, True)))
    assert preprocessing_of(AutoImageProcessor.from_pretrained(tmp_path, backend="pil"), "here") == ours


def test_the_crop_is_the_centre_of_the_picture_with_its_aspect_kept() -> None:
    """A 3:1 picture of three squares, the middle one white: CLIP's crop sees only that one."""
    picture = Image.new("RGB", (96, 32), "black")
    picture.paste((255, 255, 255), (32, 0, 64, 32))
    assert np.all(Preprocessing(32, shortest_edge=32)(picture) == 1.0)
    assert not np.all(Preprocessing(32)(picture) == 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"crop_size": {"height": 40, "width": 40}}, {"crop_size": {"height": 32, "width": 30}},
        {"do_center_crop": False}, {"rescale_factor": 0.5}, {"do_normalize": False}, {"do_resize": False},
        {"size": {"height": 32, "width": 40}}, {"size": {"shortest_edge": 32, "longest_edge": 64}},
    ],
)  # fmt: skip
def test_other_ways_to_prepare_pictures_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    config = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": True,
              "crop_size": {"height": 32, "width": 32}}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config | change))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    with pytest.raises(UserError, match=r"'a/model' prepares pictures in a way that is not supported"):
        preprocessing_of(processor, "a/model")


@pytest.mark.parametrize("settings", [{"shortest_edge": 31}, {"shortest_edge": 40, "letterbox": True}])
def test_a_crop_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shortest_edge"):
        Preprocessing(32, **settings)


def test_a_fingerprint_without_a_crop_is_what_it_was_before_there_were_crops() -> None:
    settings = {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3, "resample": 3, "letterbox": False, "fill": 255}
    expected = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    assert Preprocessing(64).fingerprint == expected


def test_is_independent_of_what_ran_before() -> None:
    one = Preprocessing(32)
    first = one(_noise(50, 40))
    one(_noise(33, 90, seed=1))
    assert np.array_equal(first, one(_noise(50, 40)))


CHANGES: dict[str, Any] = {
    "size": 63, "mean": (0.5, 0.5, 0.4), "std": (0.5, 0.6, 0.5), "resample": 2, "letterbox": True, "fill": 0,
    "shortest_edge": 64,
}  # fmt: skip


def test_the_changes_below_name_every_setting() -> None:
    assert set(CHANGES) == {f.name for f in dataclasses.fields(Preprocessing)}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_fingerprint(name: str) -> None:
    first = Preprocessing(64)
    assert first.fingerprint == Preprocessing(64).fingerprint
    assert dataclasses.replace(first, **{name: CHANGES[name]}).fingerprint != first.fingerprint
    cut = Preprocessing(64, shortest_edge=64)
    assert dataclasses.replace(cut, shortest_edge=65).fingerprint != cut.fingerprint


def test_json_round_trip() -> None:
    first = Preprocessing(48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 2, True, 7)
    second = Preprocessing.from_dict(json.loads(json.dumps(dataclasses.asdict(first))))
    assert second == first
    assert second.fingerprint == first.fingerprint


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80)])
def test_letterbox_keeps_the_aspect_and_fills_the_rest(width: int, height: int) -> None:
    black = Image.new("RGB", (width, height), "black")
    pixels = Preprocessing(64, resample=0, letterbox=True, fill=255)(black)
    if height > width:
        pixels = pixels.transpose(0, 2, 1)
    assert np.all(pixels[:, 16:48] == -1.0)
    assert np.all(pixels[:, :16] == 1.0)
    assert np.all(pixels[:, 48:] == 1.0)
    assert np.all(Preprocessing(64, resample=0)(black) == -1.0)
