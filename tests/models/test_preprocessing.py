"""Preprocessing: pixel for pixel what transformers does, and a hash of every setting."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.models.preprocessing import Preprocessing


def _noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(("width", "height"), [(97, 61), (40, 200), (64, 64), (300, 20)])
@pytest.mark.parametrize("resample", [2, 3])
def test_equals_the_siglip_image_processor(tmp_path: Path, width: int, height: int, resample: int) -> None:
    from transformers import AutoImageProcessor

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
