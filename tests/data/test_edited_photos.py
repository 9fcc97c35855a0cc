"""Photos under every action: as the search engine would see them, in order, whoever does the work."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.actions.background import Background
from skufp.actions.exposure import Exposure
from skufp.actions.identity import Identity
from skufp.actions.quality import quality
from skufp.data.decode import open_image
from skufp.data.edited_photos import EditedPhoto, Photo, edit, edit_all
from skufp.data.noisy_twin import noisy_twin
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(16)


class Invert:
    def __call__(self, image: np.ndarray) -> np.ndarray:
        return 255 - image


class OnlyWide:
    """Cuts wide photos and leaves the others."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return image[:, ::2] if image.shape[1] > image.shape[0] else image


class Returns:
    def __init__(self, what: Any) -> None:
        self.what = what

    def __call__(self, image: np.ndarray) -> Any:
        return self.what


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """Seven photos, wide and narrow, and a twin."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(7):
        coarse = rng.integers(30, 220, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((60, 40) if i % 3 else (40, 70)).save(folder / f"{i}.jpg")
    return [*(Photo(folder / f"{i}.jpg") for i in range(7)), Photo(folder / "2.jpg", "validation/2")]


def test_every_action_sees_the_whole_photo_and_its_result_is_preprocessed(photos: list[Photo]) -> None:
    actions = {"identity": Identity(), "invert": Invert(), "only_wide": OnlyWide()}
    for photo in photos:
        image = np.asarray(open_image(photo.path))
        if photo.twin_of:
            image = noisy_twin(image, photo.twin_of)
        wide = image.shape[1] > image.shape[0]
        expected = [image, 255 - image, *([image[:, ::2]] if wide else [])]
        found = edit(photo, actions, PREPROCESSING)
        assert found.changed.tolist() == ([1, 2] if wide else [1])
        assert found.pixels.shape == (len(expected), 3, 16, 16)
        for pixels, picture in zip(found.pixels, expected, strict=True):
            whole = Image.fromarray(np.ascontiguousarray(picture))
            np.testing.assert_array_equal(pixels, PREPROCESSING(whole))
        np.testing.assert_array_equal(found.quality, quality(image))


def test_a_photo_is_turned_upright_first(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (30, 50, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    found = edit(Photo(tmp_path / "turned.jpg"), {"identity": Identity()}, PREPROCESSING)
    np.testing.assert_array_equal(found.pixels[0], PREPROCESSING(open_image(tmp_path / "turned.jpg")))
    assert open_image(tmp_path / "turned.jpg").size == (30, 50)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (None, "NoneType"), (np.zeros((4, 4, 3)), r"float64 \[4, 4, 3\]"), (np.zeros((4, 4), np.uint8), r"\[4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"), (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
    ],
)  # fmt: skip
def test_an_action_that_returns_no_picture_is_named(photos: list[Photo], what: Any, told: str) -> None:
    with pytest.raises(UserError, match=rf"actions\.actions\.broken returned .*{told}: an action returns RGB"):
        edit(photos[0], {"identity": Identity(), "broken": Returns(what)}, PREPROCESSING)


def _same(found: EditedPhoto, expected: EditedPhoto) -> None:
    for name in ("pixels", "changed", "quality"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_processes_make_no_difference_and_keep_the_order(photos: list[Photo]) -> None:
    actions = {"identity": Identity(), "background": Background(), "exposure": Exposure()}
    many = photos * 3
    alone, together = (list(edit_all(many, actions, PREPROCESSING, workers)) for workers in (0, 2))
    assert len(alone) == len(many)
    for one, two, photo in zip(alone, together, many, strict=True):
        _same(two, one)
        _same(one, edit(photo, actions, PREPROCESSING))


def test_what_is_not_asked_for_is_not_opened(photos: list[Photo], tmp_path: Path) -> None:
    endless = itertools.chain(photos, itertools.repeat(Photo(tmp_path / "missing.jpg")))
    edited = edit_all(endless, {"identity": Identity()}, PREPROCESSING, 1)
    assert len(list(itertools.islice(edited, len(photos)))) == len(photos)
    with pytest.raises(UserError, match=r"image file is missing .*stage=prepare"):
        next(edited)
