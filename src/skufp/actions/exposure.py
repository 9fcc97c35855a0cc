"""Correct the exposure: levels, then gamma."""

from collections.abc import Sequence
from math import log
from typing import ClassVar

import cv2
import numpy as np

from skufp.actions.action import in_range
from skufp.actions.light import luma_percentiles
from skufp.errors import UserError


class Exposure:
    """Stretches the darkest and the brightest per cent towards black and white, then moves the median into ``middle``.

    One curve for all three channels keeps hues. The stretch moves black by at most ``black`` and white by at most
    ``white`` (of the whole range), since a photo may have neither black nor white, and colours must not glow. A gamma
    within 1 / ``max_gamma`` to ``max_gamma`` moves the median (0 to 1) towards the nearer end of ``middle``; the limit
    keeps a black dress black. Unchanged: a picture within these limits, and one of a single brightness.
    """

    name: ClassVar[str] = "exposure"

    def __init__(
        self, black: float = 0.04, white: float = 0.2, middle: Sequence[float] = (0.35, 0.65), max_gamma: float = 1.4
    ) -> None:
        self.black = in_range("exposure.black", black, 0, 0.4)
        self.white = in_range("exposure.white", white, 0, 0.4)
        if isinstance(middle, str) or not isinstance(middle, Sequence) or len(middle) != 2:
            raise UserError(f"exposure.middle={middle!r}: give two shares, e.g. [0.35, 0.65]")
        self.low = in_range("exposure.middle[0]", middle[0], 0.05, 0.95)
        self.high = in_range("exposure.middle[1]", middle[1], self.low, 0.95)
        self.max_gamma = in_range("exposure.max_gamma", max_gamma, 1, 5)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the photo with corrected exposure."""
        dark, median, bright = luma_percentiles(image, (0.01, 0.5, 0.99)) / 255
        if bright - dark < 0.02:
            return image
        black, white = min(dark, self.black), max(bright, 1 - self.white)
        middle = min(max((median - black) / (white - black), 0.01), 0.99)
        gamma = log(min(max(middle, self.low), self.high)) / log(middle)
        gamma = min(max(gamma, 1 / self.max_gamma), self.max_gamma)
        levels = ((np.arange(256) / 255 - black) / (white - black)).clip(0, 1) ** gamma
        table = np.rint(levels * 255).astype(np.uint8)
        return image if np.array_equal(table, np.arange(256)) else cv2.LUT(image, table)
