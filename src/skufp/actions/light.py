"""The light of a photo: its colour and its brightness."""

import cv2
import numpy as np

from skufp.actions.action import glance, thumbnail

POWER = 6  # Shades of Grey's best Minkowski norm
DARK, BRIGHT = 8, 247  # grey levels beyond which a pixel carries no information on the light
FEW = 0.03  # share of the picture: with fewer candidate grey pixels the cast is unknown
_LEVELS = np.arange(256, dtype=np.float32) / 255
_LOG = np.log(np.maximum(_LEVELS, 1 / 255))
_POWERS = _LEVELS**POWER
_CENTRE = np.eye(3, dtype=np.float32) - np.float32(1 / 3)


def cast(image: np.ndarray, limit: float) -> np.ndarray:
    """Return [3] float32: the log of the light's red, green and blue, their sum 0; zeros where it cannot be estimated.

    Shades of Grey (Finlayson & Trezzi, CIC 2004) on a small copy, over candidate grey pixels: those that a grey surface
    could have under some light within ``limit`` (log units per channel). So a red dress is not taken for red light.
    """
    small = glance(image)
    log_cast = cv2.transform(cv2.LUT(small, _LOG), _CENTRE)
    exposed = cv2.inRange(small, (DARK,) * 3, (BRIGHT,) * 3)
    greyish = cv2.bitwise_and(exposed, cv2.inRange(log_cast, (-limit,) * 3, (limit,) * 3))
    if cv2.countNonZero(greyish) < max(1, FEW * greyish.size):
        return np.zeros(3, np.float32)
    light = np.log(cv2.mean(cv2.LUT(small, _POWERS), greyish)[:3]) / POWER
    return np.asarray(light - light.mean(), np.float32)


def luma_percentiles(image: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Return the grey levels, 0 to 255, below which these ``shares`` of a small copy's pixels lie."""
    grey = cv2.cvtColor(thumbnail(image), cv2.COLOR_RGB2GRAY)
    return np.searchsorted(np.cumsum(np.bincount(grey.ravel(), minlength=256)), np.array(shares) * grey.size)
