"""A little less noise, a little more edge."""

from typing import ClassVar

import numpy as np

from skufp.actions.denoise import Denoise
from skufp.actions.sharpen import Sharpen


class Refine:
    """Denoise, then Sharpen, both lightly: ``strength`` and ``amount`` are theirs."""

    name: ClassVar[str] = "refine"

    def __init__(self, strength: float = 2.0, amount: float = 0.5) -> None:
        self.denoise = Denoise(strength)
        self.sharpen = Sharpen(amount)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo, cleaner."""
        return self.sharpen(self.denoise(image))
