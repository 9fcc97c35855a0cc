"""Turn a tilted photo upright."""

from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.tilt import tilt


class Deskew:
    """Rotates the photo about its centre by the tilt of its edges; keeps its size, and fills corners by reflection.

    Unchanged: a tilt under ``min_degrees`` or over ``max_degrees`` (more likely the garment's cut or print than the
    camera), and edges whose agreement is below ``min_confidence`` (0 to 1).
    """

    name: ClassVar[str] = "deskew"

    def __init__(self, min_degrees: float = 1.0, max_degrees: float = 30.0, min_confidence: float = 0.15) -> None:
        self.min_degrees = in_range("deskew.min_degrees", min_degrees, 0, 45)
        self.max_degrees = in_range("deskew.max_degrees", max_degrees, min_degrees, 45)
        self.min_confidence = in_range("deskew.min_confidence", min_confidence, 0, 1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo, upright."""
        degrees, confidence = tilt(image)
        if confidence < self.min_confidence or not self.min_degrees <= abs(degrees) <= self.max_degrees:
            return image
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)  # counter-clockwise
        return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
