"""The one place that opens pictures: a file or bytes become an upright RGB picture, or UnreadableImageError.

Pillow's readers raise many exceptions on a damaged file: besides OSError and SyntaxError also struct.error,
ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError, DecompressionBombError and more, by
format and version. No list of them is complete, so every exception is caught.
"""

import io
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps, UnidentifiedImageError

from skufp.errors import UserError

MISSING, DANGLING = "image file is missing", "image file is a link to a file that is missing"
EMPTY, NO_FILE, NO_IMAGE = "zero-byte image", "not a file", "not an image"
BROKEN, CLOSED = "image does not decode", "image file cannot be read"


class UnreadableImageError(UserError):
    """A picture that cannot be used: ``reason`` for a report's counts, ``detail`` for its rows, ``name`` of the file.

    It is a UserError: where a stage does not handle it, the user sees one line with the file and the reason.
    """

    def __init__(self, reason: str, detail: str = "", name: str = "") -> None:
        message = f"{reason} ({detail})" if detail else reason
        super().__init__(f"{name}: {message}" if name else message)
        self.reason, self.detail, self.name = reason, detail, name


def open_image(path: Path) -> Image.Image:
    """Decode a photo fully, upright (EXIF), as RGB on white; raise UnreadableImageError if it is not one."""
    _check_file(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableImageError(CLOSED, _words(error), str(path)) from error
    with file:
        return _decode(file, str(path))


def decode_image(data: bytes, name: str = "") -> Image.Image:
    """As open_image, of a file's bytes; ``name`` identifies them in errors."""
    if not data:
        raise UnreadableImageError(EMPTY, name=name)
    return _decode(io.BytesIO(data), name)


def open_prepared(path: Path) -> Image.Image:
    """As open_image, of a picture that stage=prepare wrote; the error says how to recreate it."""
    try:
        return open_image(path)
    except UnreadableImageError as error:
        advice = "stage=prepare wrote this file: delete its folder to have it made again"
        detail = f"{error.detail}; {advice}" if error.detail else advice
        raise UnreadableImageError(error.reason, detail, error.name) from error


def as_photo(image: Image.Image, name: str = "") -> Image.Image:
    """As open_image, of a picture that Pillow has opened; it may not have been decoded yet."""
    try:
        image.load()
        picture = flatten(_upright(image))
    except Exception as error:  # see the head of this file
        raise UnreadableImageError(BROKEN, _words(error), name) from error
    if 0 in picture.size:
        raise UnreadableImageError(BROKEN, f"{picture.width}x{picture.height} pixels", name)
    return picture


def flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB, transparent parts on white."""
    if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey: Pillow would clip it to white
        image = image.point(lambda level: level / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _check_file(path: Path) -> None:
    """Raise UnreadableImageError unless ``path`` is a regular file that is not empty; reading a pipe would block."""
    try:
        if not path.exists():
            raise UnreadableImageError(DANGLING if path.is_symlink() else MISSING, path.name, str(path))
        if not path.is_file():
            raise UnreadableImageError(NO_FILE, path.name, str(path))
        if path.stat().st_size == 0:
            raise UnreadableImageError(EMPTY, name=str(path))
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a circle of links
        raise UnreadableImageError(CLOSED, _words(error), str(path)) from error


def _decode(file: IO[bytes], name: str) -> Image.Image:
    try:
        with Image.open(file) as opened:
            return as_photo(opened, name)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(NO_IMAGE, name=name) from error
    except Exception as error:  # see the head of this file
        raise UnreadableImageError(BROKEN, _words(error), name) from error


def _upright(image: Image.Image) -> Image.Image:
    """Return ``image`` rotated by its EXIF orientation; unchanged where the EXIF is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is parsed by the readers of TIFF, and fails in as many ways
        return image


def _words(error: Exception) -> str:
    """Return an exception's message, or its type if the message is empty; an OSError's without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
