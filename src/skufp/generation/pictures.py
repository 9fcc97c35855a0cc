"""Picture operations shared by the generators and the judge. Needs only NumPy and OpenCV."""

from pathlib import Path

import numpy as np

from skufp.data.augment import paste, piece, squared
from skufp.data.decode import open_prepared
from skufp.data.drafts import garment_mask
from skufp.generation.request import ViewRequest

STUDIO = (200, 255)  # grey levels of an even studio background
SHIFT = 4.0  # its channels differ by this, in grey levels (standard deviation)


def open_crop(path: Path) -> np.ndarray:
    """Return a crop that stage=prepare cut, RGB [H, W, 3] uint8."""
    return np.asarray(open_prepared(path))


def garment(request: ViewRequest) -> np.ndarray:
    """Return the mask [H, W] float32 of the source's garment."""
    return garment_mask(request.picture, request.mask)


def backdrop(request: ViewRequest, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a piece of another photo, or an even studio colour: [size, size, 3] uint8."""
    if request.others and not request.condition.clean:
        return piece(list(request.others), size, rng)
    colour = rng.uniform(*STUDIO) + rng.normal(0, SHIFT, 3)
    return np.full((size, size, 3), np.clip(colour, 0, 255), np.uint8)


def hold_garment(request: ViewRequest, drawn: np.ndarray) -> np.ndarray:
    """Paste the source's garment on ``drawn``, [size, size, 3] uint8, if the view condition has keep_garment.

    With ``clean`` it is pasted on an even studio background instead.
    """
    if not request.condition.keep_garment:
        return drawn
    size = len(drawn)
    if request.condition.clean:
        drawn = backdrop(request, size, np.random.default_rng(request.seed))
    return paste(squared(request.picture, size), squared(garment(request), size), drawn)
