"""The noise level of a photo."""

import cv2
import numpy as np

SIDE = 128
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def noise_level(image: np.ndarray) -> float:
    """Return the standard deviation, in grey levels, of Gaussian noise on a photo's brightness; 0 below 3 x 3 px.

    It is the larger of two estimates on the middle of the photo: at full size, and at half size, where averaging of
    four pixels halves the noise, but JPEG has not yet removed it.
    """
    height, width = image.shape[:2]
    y, x = max(0, height // 2 - SIDE), max(0, width // 2 - SIDE)
    grey = cv2.cvtColor(image[y : y + 2 * SIDE, x : x + 2 * SIDE], cv2.COLOR_RGB2GRAY)
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if min(grey.shape) > 1 else grey
    down, across = (max(0, (side - SIDE) // 2) for side in grey.shape)
    return max(_immerkaer(grey[down : down + SIDE, across : across + SIDE]), 2 * _immerkaer(half))


def _immerkaer(grey: np.ndarray) -> float:
    """Immerkaer, Fast Noise Variance Estimation (CVIU 1996): a filter that is insensitive to planes and edges.

    The median absolute response replaces the paper's mean, since stripes and prints change it less.
    """
    if min(grey.shape) < 3:
        return 0.0
    answer = np.abs(cv2.filter2D(grey, cv2.CV_16S, KERNEL)[1:-1, 1:-1]).ravel()
    share = np.cumsum(np.bincount(answer)) / answer.size
    median = float(np.interp(0.5, share, np.arange(len(share)) + 0.5))  # a level holds the values that round to it
    return median / (0.6745 * 6)  # a normal's median absolute deviation; the filter's norm
