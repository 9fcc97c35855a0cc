"""Query photos: a path, a file's bytes, a Pillow image or an RGB array."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.errors import UserError

Photo = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


def open_photo(photo: Photo) -> Image.Image:
    """Return a photo as stage=prepare would see it: upright, RGB on white.

    Raises UserError for a file that is not there or does not decode, and for anything else than a photo.
    """
    from skufp.data.decode import UnreadableImageError, as_photo, decode_image, open_image

    try:
        if isinstance(photo, Image.Image):
            return as_photo(photo)
        if isinstance(photo, np.ndarray):
            return _of_array(photo)
        if isinstance(photo, bytes | bytearray | memoryview):
            return decode_image(bytes(photo))
        if isinstance(photo, str | os.PathLike):
            return open_image(Path(photo))
    except UnreadableImageError as error:
        words = "; a text goes to search(text=…)" if isinstance(photo, str) and not Path(photo).exists() else ""
        raise UserError(f"{error}. Give a photo (JPEG, PNG, WebP, …){words}") from error
    raise UserError(f"image: {type(photo).__name__} is no photo. Give a path, bytes, a Pillow image or an RGB array")


def _of_array(pixels: np.ndarray) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise UserError(
            f"image: an array of {pixels.dtype} {list(pixels.shape)}. Give RGB as uint8 [height, width, 3]; several"
            " photos go into a list"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def as_list(given: Any) -> tuple[list[Any], bool]:
    """Return ``given`` as a list, and whether it was a list; None gives an empty list."""
    if isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray | memoryview):
        return list(given), True
    return ([] if given is None else [given]), False
