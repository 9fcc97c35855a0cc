"""Pictures in a page: thumbnails embedded as data URIs."""

import base64
from pathlib import Path

import numpy as np
from PIL import Image

from skufp.data.thumbnail import jpeg, thumbnail

SIZE, QUALITY = 168, 80  # defaults: pixels of the longer side, and JPEG's quality


def inlined(
    picture: Image.Image | np.ndarray, size: int = SIZE, quality: int = QUALITY, full_colour: bool = False
) -> str:
    """Return a picture's thumbnail as the data URI of a JPEG; ``full_colour`` turns chroma subsampling off."""
    return _data_uri("image/jpeg", jpeg(thumbnail(picture, size), quality, full_colour))


def inlined_crop(path: Path, size: int = SIZE) -> str:
    """As inlined, of a picture that stage=prepare wrote."""
    from skufp.data.decode import open_prepared

    return inlined(open_prepared(path), size)


def inlined_svg(drawing: str) -> str:
    """Return an SVG as a data URI."""
    return _data_uri("image/svg+xml", drawing.encode())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
