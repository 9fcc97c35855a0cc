"""Salience: the garment is the part of a picture that differs from its borders."""

from typing import NamedTuple

import cv2
import numpy as np

from skufp.actions.action import glance

BORDER = 0.08  # of a side: width of the strips that represent the background
NOISE = 16.0  # Lab variance of a plain background, added to that of every strip
MIDDLE = 0.3  # share of the middle third that a garment covers at least
_OF_STRIP = np.kron(np.eye(4, dtype=np.float32), np.ones((1, 3), np.float32))  # [4, 12]: sums each strip's three rows


class Box(NamedTuple):
    """A box in shares of the picture's sides, and its contrast to the rest, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    contrast: float

    @property
    def area(self) -> float:
        """Its share of the picture."""
        return (self.right - self.left) * (self.bottom - self.top)


WHOLE = Box(0.0, 0.0, 1.0, 1.0, 0.0)


def salience(image: np.ndarray) -> np.ndarray:
    """Return [h, w] float32 in 0 to 1 on a copy of at most GLANCE px: each pixel's distance to the picture's borders.

    The backgroundness cue of Zhang et al., Minimum Barrier Salient Object Detection at 80 FPS (ICCV 2015), eq. 9: the
    Mahalanobis distance in Lab to each of the four border strips, summed without the largest, so that a garment may
    touch one side.
    """
    lab = cv2.cvtColor(glance(image), cv2.COLOR_RGB2LAB).astype(np.float32)
    distances = _distances(lab)
    unlike = distances.sum(axis=0) - distances.max(axis=0)
    unlike = cv2.GaussianBlur(unlike, (0, 0), 1.0)
    unlike -= unlike.min()
    top = float(unlike.max())
    return unlike / top if top > 1e-3 else np.zeros_like(unlike)


def _distances(lab: np.ndarray) -> np.ndarray:
    """[4, h, w]: every pixel's Mahalanobis distance to the colours of a border strip, over the largest."""
    deep, wide = (max(1, round(BORDER * side)) for side in lab.shape[:2])
    strips = (lab[:deep], lab[-deep:], lab[:, :wide], lab[:, -wide:])
    centres = np.array([cv2.mean(s)[:3] for s in strips], np.float32)
    apart = [(s - c).reshape(-1, 3) for s, c in zip(strips, centres, strict=True)]
    spreads = np.stack([a.T @ a / len(a) for a in apart]) + NOISE * np.eye(3)
    roots = np.linalg.cholesky(np.linalg.inv(spreads)).transpose(0, 2, 1).astype(np.float32)  # |root x|: x's distance
    shift = (roots @ centres[:, :, None]).reshape(12, 1)
    white = roots.reshape(12, 3) @ np.stack(cv2.split(lab)).reshape(3, -1) - shift  # [12, h w]: three rows a strip
    distances = np.sqrt(_OF_STRIP @ (white * white)).reshape(4, *lab.shape[:2])
    largest = distances.max(axis=(1, 2), keepdims=True)
    return distances / np.maximum(largest, np.float32(3))  # below three deviations is noise


def mask_of(salient: np.ndarray) -> np.ndarray:
    """Return [h, w] uint8, 1 where ``salient`` passes Otsu's threshold, in its large connected pieces."""
    grey = (salient * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = (grey > max(8.0, 0.8 * threshold)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(1.0, 0.2 * areas.max()) if count > 1 else np.zeros(count, bool)
    return keep[labels].astype(np.uint8)


def in_the_middle(mask: np.ndarray) -> bool:
    """Return whether ``mask`` [h, w] (0 to 1) covers enough of the picture's middle third to be the subject."""
    height, width = mask.shape
    middle = mask[height // 3 : height - height // 3, width // 3 : width - width // 3]
    return float(middle.mean()) >= MIDDLE


def salient_box(image: np.ndarray) -> Box:
    """Return the box around the salient pixels; WHOLE if there are none."""
    salient = salience(image)
    mask = mask_of(salient)
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return WHOLE
    contrast = cv2.mean(salient, mask)[0] - cv2.mean(salient, 1 - mask)[0]
    rows, columns = mask.shape
    return Box(x / columns, y / rows, (x + width) / columns, (y + height) / rows, contrast)
