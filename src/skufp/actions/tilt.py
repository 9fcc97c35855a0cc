"""The tilt of a photo: the common direction of its edges."""

import cv2
import numpy as np

from skufp.actions.action import thumbnail


def tilt(image: np.ndarray) -> tuple[float, float]:
    """Return (degrees in -45 to 45, confidence in 0 to 1) on a copy of at most LOOK px; clockwise is positive.

    The mean direction of the gradients g modulo 90 degrees, weighted by their length: the angle of the sum of
    g^4 / |g|^3 over four. The left and right edges of a garment that widens cancel, so that its axis counts. The
    confidence is the resultant's length (Mardia & Jupp, Directional Statistics, 2000).
    """
    grey = cv2.cvtColor(thumbnail(image), cv2.COLOR_RGB2GRAY)
    if min(grey.shape) < 8:
        return 0.0, 0.0
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.float32)
    across, down = cv2.Scharr(grey, cv2.CV_32F, 1, 0)[2:-2, 2:-2], cv2.Scharr(grey, cv2.CV_32F, 0, 1)[2:-2, 2:-2]
    real, imaginary = across * across - down * down, 2 * across * down  # of g^2
    square = across * across + down * down
    length = np.sqrt(square)
    total = float(length.sum())
    if total < grey.size:  # no edges
        return 0.0, 0.0
    weight = 1 / np.maximum(square * length, 1)
    cosine = float(((real * real - imaginary * imaginary) * weight).sum())
    sine = float((2 * real * imaginary * weight).sum())
    return float(np.degrees(np.arctan2(sine, cosine)) / 4), min(1.0, float(np.hypot(cosine, sine)) / total)
