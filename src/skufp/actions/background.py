"""Remove the background."""

from typing import ClassVar, Protocol

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.grabcut import GrabCut
from skufp.actions.salience import in_the_middle
from skufp.actions.selfie import Selfie
from skufp.errors import UserError, nearest

FILLS = ("white", "blur")
METHODS = ("grabcut", "selfie")


class Cutout(Protocol):
    """Finds the foreground of an RGB photo."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return [h, w] float32 in 0 (background) to 1, of any size; it is resized to the photo."""
        ...


class Background:
    """Keeps the foreground that ``method`` finds; the rest becomes white or blurred (``fill``).

    ``method``: grabcut (colours; any garment) or selfie (a network that segments people; its file is ``weights``).
    Unchanged: a picture whose foreground covers less than ``min_area`` or nearly all of it, or not its middle.
    """

    name: ClassVar[str] = "background"

    def __init__(
        self, method: str = "grabcut", fill: str = "white", min_area: float = 0.1, weights: str | None = None
    ) -> None:
        if method not in METHODS:
            raise UserError(f"background.method={method!r}: there is no such method.{nearest(str(method), METHODS)}")
        if fill not in FILLS:
            raise UserError(f"background.fill={fill!r}: there is no such fill.{nearest(str(fill), FILLS)}")
        if method == "grabcut" and weights is not None:
            raise UserError(f"background.weights={weights!r}: grabcut has none; write background.method=selfie")
        self.fill = fill
        self.min_area = in_range("background.min_area", min_area, 0, 1)
        self.cutout: Cutout = GrabCut() if method == "grabcut" else Selfie(weights)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo with a white or blurred background."""
        height, width = image.shape[:2]
        share = self.cutout(image)
        if not self.min_area <= share.mean() < 0.97 or not in_the_middle(share):
            return image
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        share = np.clip(2 * share - 0.5, 0, 1)  # halve the soft edge: less of the background shows through
        if self.fill == "white":
            behind = np.full_like(image, 255)
        else:
            behind = cv2.blur(image, (max(3, width // 8), max(3, height // 8)))
        return cv2.blendLinear(image, behind, share, 1 - share)
