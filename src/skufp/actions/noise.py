"""How noisy a photo is."""

import cv2
import numpy as np

SIDE = 128
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def noise_level(image: np.ndarray) -> float:
    """Return the standard deviation, in grey levels, of Gaussian noise on a photo's brightness; 0 below 3 x 3 px.

    Read on the middle of the photo as it is, and of the photo at half its size, where averaging of four has halved the
    noise, but JPEG has not yet swept it away; the larger counts.
    """
    height, width = image.shape[:2]
    y, x = max(0, height // 2 - SIDE), max(0, width // 2 - SIDE)
    grey = cv2.cvtColor(image[y : y + 2 * SIDE, x : x + 2 * SIDE], cv2.COLOR_RGB2GRAY)
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if min(grey.shape) > 1 else grey
    down, across = (max(0, (side - SIDE) // 2) for side in grey.shape)
    return max(_immerkaer(grey[down : down + SIDE, across : across + SIDE]), 2 * _immerkaer(half))


def _immerkaer(grey: np.ndarray) -> float:
    """Immerkaer, Fast Noise Variance Estimation (CVIU 1996): a mask that answers neither to planes nor to edges.

    In place of its mean absolute answer the median counts, which stripes and prints move less.
    """
    if min(grey.shape) < 3:
        return 0.0
    answer = np.abs(cv2.filter2D(grey, cv2.CV_16S, KERNEL)[1:-1, 1:-1]).ravel()
    share = np.cumsum(np.bincount(answer)) / answer.size
    median = float(np.interp(0.5, share, np.arange(len(share)) + 0.5))  # a level holds what rounds to it
    return median / (0.6745 * 6)  # a normal's median deviation; the mask's norm
