"""What an action is, and the checks that actions share."""

from typing import ClassVar, Protocol

import cv2
import numpy as np

from skufp.errors import UserError

LOOK = 128  # px: the copy that tilt and brightness are judged on
GLANCE = 64  # px: its half, enough for colours and places


class Action(Protocol):
    """Turns an RGB photo into an RGB photo: [H, W, 3] uint8 in and out, the size may change.

    Deterministic, works on any picture from 1 x 1 up, never writes into its input, and returns the input itself where
    it finds nothing to do.
    """

    name: ClassVar[str]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo, edited."""
        ...


def in_range(setting: str, value: float, low: float, high: float) -> float:
    """Return ``value``; UserError naming ``setting`` where it is no number of [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"{setting}={value!r}: give a number from {low:g} to {high:g}")
    return value


def glance(image: np.ndarray) -> np.ndarray:
    """Return a copy of at most GLANCE px. It is made from the LOOK px copy, so both inputs give the same pixels."""
    return thumbnail(thumbnail(image, LOOK), GLANCE)


def thumbnail(image: np.ndarray, side: int = LOOK) -> np.ndarray:
    """Return ``image`` shrunk to at most ``side`` px, or as it is where it is no larger.

    Halved first while that leaves enough, since OpenCV averages 2 x 2 pixels many times faster than other areas.
    """
    height, width = image.shape[:2]
    while max(height, width) >= 2 * side and min(height, width) >= 2:
        height, width = height // 2, width // 2
        image = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
