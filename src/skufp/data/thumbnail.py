"""Small copies of pictures, and their JPEG files, for pages, contact sheets and bundles."""

import io

import numpy as np
from PIL import Image


def thumbnail(
    picture: Image.Image | np.ndarray, size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Return a copy of a picture (Pillow's, or RGB [H, W, 3] uint8) of at most ``size`` pixels; never grown."""
    small = picture.copy() if isinstance(picture, Image.Image) else Image.fromarray(picture)
    small.thumbnail((size, size), resample)
    return small


def jpeg(picture: Image.Image, quality: int, full_colour: bool = False) -> bytes:
    """Return a picture as a JPEG file; ``full_colour`` turns chroma subsampling off."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0 if full_colour else -1)
    return file.getvalue()
