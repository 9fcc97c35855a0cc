"""Pictures in a page: made small, and written into the page itself as data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZE, QUALITY = 168, 80  # pixels of the longer side, and JPEG's quality, where a page wants no other


def thumbnail(picture: Image.Image | np.ndarray, size: int = SIZE) -> Image.Image:
    """Return a copy of a picture (Pillow's, or RGB [H, W, 3] uint8) of at most ``size`` pixels; never grown."""
    small = picture.copy() if isinstance(picture, Image.Image) else Image.fromarray(picture)
    small.thumbnail((size, size))
    return small


def inlined(
    picture: Image.Image | np.ndarray, size: int = SIZE, quality: int = QUALITY, full_colour: bool = False
) -> str:
    """Return a picture's thumbnail as the data URI of a JPEG; ``full_colour`` keeps colour as sharp as light."""
    buffer = io.BytesIO()
    thumbnail(picture, size).save(buffer, "JPEG", quality=quality, subsampling=0 if full_colour else -1)
    return _data_uri("image/jpeg", buffer.getvalue())


def inlined_crop(path: Path, size: int = SIZE) -> str:
    """As inlined, of a picture that stage=prepare wrote."""
    from skufp.data.decode import open_prepared

    return inlined(open_prepared(path), size)


def inlined_svg(drawing: str) -> str:
    """Return an SVG as a data URI."""
    return _data_uri("image/svg+xml", drawing.encode())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
