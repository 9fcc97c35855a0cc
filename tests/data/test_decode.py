"""Opening pictures: whatever the bytes are, a picture or UnreadableImageError comes out, and nothing else."""

import io
import os
import pickle
import random
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skufp.data.decode import UnreadableImageError, as_photo, decode_image, open_image, open_prepared
from skufp.errors import UserError

TRIES, SLOW_TRIES, SLOW = 150, 20, 100_000  # damaged copies of each format's picture; of a file of SLOW bytes or more
NEEDED = {"PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "ICO", "PPM", "TGA"}
TIFFS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")


def _picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))


def _saved(**options: object) -> bytes:
    file = io.BytesIO()
    _picture().save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def _formats() -> dict[str, bytes]:
    """Return a small file of every format that this Pillow both writes and reads; of TIFF in several compressions."""
    Image.init()
    found = {}
    for kind in sorted(set(Image.SAVE) & set(Image.OPEN)):
        try:
            found[kind] = _saved(format=kind)
            decode_image(found[kind])
        except (OSError, ValueError, KeyError, UnreadableImageError):  # another mode, a needed program or library
            found.pop(kind, None)
    return found | {f"TIFF {c}": _saved(format="TIFF", compression=c) for c in TIFFS}


FILES = _formats()


def test_the_usual_formats_are_among_those_tried() -> None:
    assert set(FILES) >= NEEDED


def _damaged(data: bytes, draw: random.Random) -> bytes:
    """Return ``data`` cut short, with bytes changed (in the head more often), with a hole, or with bytes put in."""
    changed, way = bytearray(data), draw.randrange(5)
    at = draw.randrange(len(data))
    if way == 0:
        return bytes(data[:at])
    if way == 1:
        changed[at : at + draw.randrange(1, 40)] = b""
    elif way == 2:
        changed[at:at] = draw.randbytes(draw.randrange(1, 8))
    else:
        reach = min(len(data), 64) if way == 3 else len(data)
        for _ in range(draw.choice((1, 2, 8))):
            changed[draw.randrange(reach)] = draw.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_pictures_or_unreadable(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # a changed size would cost seconds and memory
    draw = random.Random(f"damage {kind}")
    outcomes: Counter[str] = Counter()
    tries = TRIES if len(FILES[kind]) < SLOW else SLOW_TRIES
    for _ in range(tries):
        try:
            picture = decode_image(_damaged(FILES[kind], draw))
        except UnreadableImageError as error:
            outcomes[error.reason] += 1
        else:
            assert picture.mode == "RGB"
            assert min(picture.size) > 0
            assert np.asarray(picture).shape == (picture.height, picture.width, 3)
            outcomes["picture"] += 1
    assert sum(outcomes.values()) == tries
    assert outcomes["picture"] < tries  # else nothing was tried


@pytest.mark.parametrize("kind", [2, 5, 7, 11])
def test_a_tiff_whose_strips_lie_at_no_number(kind: int) -> None:
    """Its head reads well; StripOffsets, tag 273, is text, a fraction, bytes or a float: Pillow raises TypeError."""
    data = bytearray(FILES["TIFF raw"])
    (start,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[start : start + 2])
    tags = {struct.unpack("<H", data[at : at + 2])[0]: at for at in range(start + 2, start + 2 + 12 * entries, 12)}
    data[tags[273] + 2 : tags[273] + 4] = struct.pack("<H", kind)
    with Image.open(io.BytesIO(data)) as opened, pytest.raises(TypeError):
        opened.load()
    with pytest.raises(UnreadableImageError, match="image does not decode"):
        decode_image(bytes(data))


class OddError(Exception):
    """What no list of Pillow's exceptions has."""


@pytest.mark.parametrize(
    "raised",
    [struct.error("x"), TypeError("x"), KeyError("x"), IndexError(), EOFError(), OverflowError("x"), MemoryError(),
     SyntaxError("x"), NotImplementedError("x"), RecursionError("x"), Image.DecompressionBombError("x"), OddError("x")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_reader_raises_is_one_exception(raised: Exception, tmp_path: Path) -> None:
    """A reader of its own, registered as plugins of Pillow are: what it raises on loading is caught by no list."""

    class Reader(Image.Image):
        def load(self) -> None:
            raise raised

    Image.register_open("ODD", lambda file, name: Reader(), lambda prefix: prefix.startswith(b"ODD!"))
    try:
        path = tmp_path / "a.odd"
        path.write_bytes(b"ODD!")
        with pytest.raises(UnreadableImageError) as caught:
            open_image(path)
    finally:
        Image.ID.remove("ODD")
        del Image.OPEN["ODD"]
    assert caught.value.reason == "image does not decode"
    assert caught.value.detail
    assert str(path) in str(caught.value)


def test_an_interrupt_is_no_damaged_picture() -> None:
    class Reader(Image.Image):
        def load(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_photo(Reader())


def test_a_photo_with_damaged_exif_is_a_photo() -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff"
    expected = decode_image(_saved(format="JPEG"))
    assert np.array_equal(decode_image(_saved(format="JPEG", exif=exif)), expected)


def _link(folder: Path) -> Path:
    (folder / "link.jpg").symlink_to(folder / "gone.jpg")
    return folder / "link.jpg"


def _circle(folder: Path) -> Path:
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    return folder / "circle.jpg"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


def _folder(folder: Path) -> Path:
    (folder / "folder.jpg").mkdir()
    return folder / "folder.jpg"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_link, "image file is a link to a file that is missing"),
        (_circle, "image file"),
        (_pipe, "not a file"),
        (_folder, "not a file"),
        (lambda folder: folder / ("x" * 5000), "image file cannot be read"),
        (lambda folder: folder / "data:image\0png", "image file"),
        (lambda folder: folder / "gone.jpg", "image file is missing"),
    ],
    ids=["link", "circle", "pipe", "folder", "long name", "null in name", "missing"],
)  # fmt: skip
def test_what_is_no_file_is_unreadable(tmp_path: Path, make: object, reason: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        open_image(make(tmp_path))  # type: ignore[operator]
    assert caught.value.reason.startswith(reason)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(_saved(format="JPEG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("the superuser may read every file")
    with pytest.raises(UnreadableImageError, match="Permission denied"):
        open_image(path)


def test_an_unreadable_picture_is_a_users_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"a\.jpg: not an image"):
        open_image(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: not an image \(stage=prepare wrote this file: delete its folder"):
        open_prepared(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="shard 3: zero-byte image"):
        decode_image(b"", "shard 3")


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImageError("not an image", "why", "a.jpg")))
    assert (str(error), error.reason, error.detail, error.name) == (
        "a.jpg: not an image (why)", "not an image", "why", "a.jpg",
    )  # fmt: skip
