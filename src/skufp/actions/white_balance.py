"""Take the colour of the light out."""

from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.light import cast


class WhiteBalance:
    """Divides by the light's colour, damped: ``strength`` of it, found among what a light within ``limit`` may colour.

    ``limit`` is in log units a channel: 0.3 means that lights up to 35 % too strong in a channel are believed, and
    that more colourful pixels keep out of the estimate. Brightness stays. Left alone: pictures with next to no pixels
    that could be grey, and casts under 1 %.
    """

    name: ClassVar[str] = "white_balance"

    def __init__(self, strength: float = 0.7, limit: float = 0.3) -> None:
        self.strength = in_range("white_balance.strength", strength, 0, 1)
        self.limit = in_range("white_balance.limit", limit, 0.02, 1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo under a whiter light."""
        light = self.strength * cast(image, self.limit)
        if np.abs(light).max() < 0.01:
            return image
        table = np.rint(np.arange(256)[:, None] * np.exp(-light)).clip(0, 255).astype(np.uint8)
        return cv2.LUT(image, table[None])
