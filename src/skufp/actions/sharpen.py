"""Sharpen edges that focus or motion blurred."""

from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range


class Sharpen:
    """Unsharp masking: adds ``amount`` times the detail removed by a blur of ``radius`` (of the longer side)."""

    name: ClassVar[str] = "sharpen"

    def __init__(self, amount: float = 1.0, radius: float = 0.005) -> None:
        self.amount = in_range("sharpen.amount", amount, 0, 5)
        self.radius = in_range("sharpen.radius", radius, 0.0005, 0.05)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo, sharper."""
        sigma = max(0.6, self.radius * max(image.shape[:2]))
        soft = cv2.GaussianBlur(image, (0, 0), sigma)
        return cv2.addWeighted(image, 1 + self.amount, soft, -self.amount, 0)
