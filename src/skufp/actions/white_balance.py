"""Remove the colour cast of the light."""

from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.light import cast


class WhiteBalance:
    """Divides by a share ``strength`` of the light's estimated cast, which is at most ``limit``.

    ``limit`` is in log units per channel: with 0.3 a cast of up to 35 % in a channel is accepted, and more colourful
    pixels are left out of the estimate. Brightness is kept. Unchanged: pictures with hardly any candidate grey pixels,
    and casts under 1 %.
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
