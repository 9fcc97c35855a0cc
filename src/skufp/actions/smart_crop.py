"""Crop to the garment's box."""

from typing import ClassVar

import numpy as np

from skufp.actions.action import in_range
from skufp.actions.salience import salient_box


class SmartCrop:
    """Crops to the salient box, with ``margin`` of its sides around it.

    Unchanged: a picture whose box, with margin, covers less than ``min_area`` (a button, not a garment) or nearly all
    of it, and one whose box has a contrast below ``min_contrast`` (0 to 1) to the rest.
    """

    name: ClassVar[str] = "smart_crop"

    def __init__(self, margin: float = 0.06, min_area: float = 0.2, min_contrast: float = 0.25) -> None:
        self.margin = in_range("smart_crop.margin", margin, 0, 1)
        self.min_area = in_range("smart_crop.min_area", min_area, 0, 1)
        self.min_contrast = in_range("smart_crop.min_contrast", min_contrast, 0, 1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the garment's part of the photo."""
        height, width = image.shape[:2]
        box = salient_box(image)
        across, down = self.margin * (box.right - box.left), self.margin * (box.bottom - box.top)
        left, right = (round(min(max(x, 0.0), 1.0) * width) for x in (box.left - across, box.right + across))
        top, bottom = (round(min(max(y, 0.0), 1.0) * height) for y in (box.top - down, box.bottom + down))
        share = (right - left) * (bottom - top) / (width * height)
        if box.contrast < self.min_contrast or not max(self.min_area, 1e-9) <= share < 0.97:
            return image
        return np.ascontiguousarray(image[top:bottom, left:right])
