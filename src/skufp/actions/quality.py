"""Cheap features of a query photo: the policy's inputs besides the embedding."""

import cv2
import numpy as np

from skufp.actions.action import glance, thumbnail
from skufp.actions.light import DARK, cast, luma_percentiles
from skufp.actions.noise import noise_level
from skufp.actions.salience import salient_box
from skufp.actions.tilt import tilt

SHARPNESS_SIDE = 256
LIMIT = 0.3  # limit of the light's cast, as in white_balance

FEATURES: tuple[str, ...] = (
    "sharpness",        # log of the Laplacian's variance, at most 256 px a side
    "noise",            # standard deviation, grey levels / 10
    "brightness",       # mean grey level, 0 to 1; so are all that follow unless noted
    "contrast",         # standard deviation of the grey levels
    "dark",             # grey level below which the darkest per cent lies
    "median",
    "bright",           # grey level above which the brightest per cent lies
    "under_exposed",    # share of pixels under 8 of 255
    "over_exposed",     # share of pixels over 247 of 255
    "saturation",       # mean of HSV's
    "a",                # mean of Lab's a* / 100: green to red
    "b",                # mean of Lab's b* / 100: blue to yellow
    "cast_red",         # log of the light's colour as white_balance estimates it
    "cast_green",
    "cast_blue",
    "tilt",             # degrees / 45, clockwise
    "tilt_confidence",
    "box_left",         # the salient box of smart_crop
    "box_top",
    "box_right",
    "box_bottom",
    "box_area",
    "box_contrast",
    "aspect",           # log of width over height
    "size",             # log2 of the longer side over 256 px
)  # fmt: skip


def quality(image: np.ndarray) -> np.ndarray:
    """Return [len(FEATURES)] float32 of an RGB photo [H, W, 3] uint8; every value is finite for any picture.

    All but sharpness, noise and shape are measured on the same small copies as in the actions, and so equal theirs.
    """
    height, width = image.shape[:2]
    middle = thumbnail(image, SHARPNESS_SIDE)
    small = thumbnail(image)
    tiny = glance(small)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    mean, deviation = cv2.meanStdDev(grey)
    lab = cv2.mean(cv2.cvtColor(tiny, cv2.COLOR_RGB2LAB))
    degrees, confidence = tilt(small)
    box = salient_box(small)
    values = (
        sharpness(middle),
        noise_level(image) / 10,
        mean[0, 0] / 255,
        deviation[0, 0] / 255,
        *(luma_percentiles(small, (0.01, 0.5, 0.99)) / 255),
        (grey < DARK).mean(),
        (grey > 255 - DARK).mean(),
        cv2.mean(cv2.cvtColor(tiny, cv2.COLOR_RGB2HSV))[1] / 255,
        (lab[1] - 128) / 100,
        (lab[2] - 128) / 100,
        *cast(small, LIMIT),
        degrees / 45,
        confidence,
        *box[:4],
        box.area,
        box.contrast,
        np.log(width / height),
        np.log2(max(height, width) / 256),
    )
    return np.array(values, np.float32)


def sharpness(image: np.ndarray) -> float:
    """Return log(1 + variance of the Laplacian) of the brightness (Pech-Pacheco et al., ICPR 2000)."""
    answer = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    return float(np.log1p(cv2.meanStdDev(answer)[1][0, 0] ** 2))
