"""Remove sensor noise, keep edges."""

from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.noise import noise_level


class Denoise:
    """A bilateral filter (Tomasi & Manduchi, ICCV 1998) of the brightness, scaled to the measured noise.

    Brightness steps below ``strength`` times the noise level are smoothed, larger steps are kept as edges; colour,
    whose detail matters less to the eye and the towers, is averaged over 5 x 5 px. Unchanged: noise under ``floor``
    grey levels. Noise above 20 levels is treated as 20, since more is texture.
    """

    name: ClassVar[str] = "denoise"

    def __init__(self, strength: float = 2.5, floor: float = 1.5) -> None:
        self.strength = in_range("denoise.strength", strength, 0.1, 10)
        self.floor = in_range("denoise.floor", floor, 0, 20)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo with less noise."""
        level = noise_level(image)
        if level <= self.floor:
            return image
        luma, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
        luma = cv2.bilateralFilter(luma, 5, self.strength * min(level, 20.0), 2.0)
        merged = cv2.merge([luma, cv2.blur(red, (5, 5)), cv2.blur(blue, (5, 5))])
        return cv2.cvtColor(merged, cv2.COLOR_YCrCb2RGB)
