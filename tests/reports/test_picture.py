"""Pictures in pages: their size, their colours, and that a caller's picture stays as it was."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from skufp.data.thumbnail import thumbnail
from skufp.reports.picture import SIZE, inlined, inlined_crop, inlined_svg


def decoded(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(("size", "small"), [((400, 200), (100, 50)), ((30, 90), (30, 90)), ((100, 300), (33, 100))])
def test_the_longer_side_shrinks_and_nothing_grows(size, small) -> None:
    picture = Image.new("RGB", size, (10, 200, 30))
    assert thumbnail(picture, 100).size == small
    assert picture.size == size  # a copy was shrunk
    assert decoded(inlined(picture, 100)).size == small
    assert np.abs(np.asarray(decoded(inlined(picture, 100)), int) - (10, 200, 30)).max() <= 3


def test_an_array_is_a_picture_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert inlined(pixels) == inlined(Image.fromarray(pixels))
    assert np.array_equal(np.asarray(thumbnail(pixels, SIZE)), pixels)


def test_full_colour_keeps_edges_between_colours() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 2] = 255, 255  # red and blue lines, one pixel each
    error = [
        np.abs(np.asarray(decoded(inlined(pixels, 64, 88, full)).convert("RGB"), int) - pixels).mean()
        for full in (False, True)
    ]
    assert error[1] < error[0] / 2


def test_a_crop_is_read_from_its_file(tmp_path) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "crop.png")
    assert decoded(inlined_crop(tmp_path / "crop.png")).size == (20, 10)


def test_a_drawing_is_itself_again() -> None:
    uri = inlined_svg("<svg>Größe</svg>")
    assert uri.startswith("data:image/svg+xml;base64,")
    assert base64.b64decode(uri.partition(",")[2]).decode() == "<svg>Größe</svg>"
