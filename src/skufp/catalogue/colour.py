"""A garment's colour from its pixels: shares of named colours, to be combined with prompt scores.

Legend: H, W picture, K values of the attribute colour, A sRGB examples of colours.
"""

import cv2
import numpy as np

from skufp.actions.action import glance
from skufp.actions.salience import in_the_middle, mask_of, salience
from skufp.catalogue.scoring import log_softmax
from skufp.catalogue.vocabulary import Attribute

SOFTNESS = 8.0  # Lab units: width of the soft assignment of pixels to colours
LIGHTNESS = 0.6  # weight of lightness relative to hue: folds and shade change lightness
FLOOR = 0.01  # lowest share of a colour: pixels alone may not exclude a colour
MIDDLE = 0.25  # of each side, left out where the garment cannot be separated from the background


def garment_mask(image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return [h, w] bool on ``glance(image)``: the garment's pixels.

    ``image`` [H, W, 3] uint8 RGB. The garment is ``mask`` [H, W] (not 0) if given; else the pixels that differ from
    the picture's borders, if these fill its middle; else the middle.
    """
    height, width = glance(image).shape[:2]
    if mask is not None:
        small = cv2.resize((np.asarray(mask) > 0).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        if small.any():
            return small.astype(bool)
    salient = mask_of(salience(image))
    if in_the_middle(salient):
        return salient.astype(bool)
    middle = np.zeros((height, width), bool)
    top, left = int(MIDDLE * height), int(MIDDLE * width)
    middle[top : height - top, left : width - left] = True
    return middle


def colour_shares(image: np.ndarray, attribute: Attribute, mask: np.ndarray | None = None) -> np.ndarray:
    """Return [K] shares of the garment's pixels, by named colour; they sum to 1.

    ``image`` [H, W, 3] uint8 RGB, ``mask`` as for garment_mask. A pixel is assigned softly to the colour of the nearest
    sRGB example in CIE Lab. A value without examples (multicolour) gets the share outside the two largest colours: it
    has the largest share from four equal colours on.
    """
    anchors, value = _anchors(attribute)
    pixels = _lab(glance(image)[garment_mask(image, mask)])  # [M, 3]
    away = ((pixels[:, None] - anchors) ** 2).sum(axis=2)  # [M, A]
    nearest = np.full((len(pixels), len(attribute.values)), np.inf)
    for k in range(len(attribute.values)):
        if (own := value == k).any():
            nearest[:, k] = away[:, own].min(axis=1)
    shares = np.exp(log_softmax(-nearest / (2 * SOFTNESS**2))).mean(axis=0)
    without = [k for k in range(len(shares)) if not (value == k).any()]
    shares[without] = np.sort(shares)[:-2].sum() / max(len(without), 1)
    return shares / shares.sum()


def colour_evidence(shares: np.ndarray) -> np.ndarray:
    """Return log probabilities [K] of a product's colours, from the mean of its views' ``shares`` [V, K]."""
    mean = np.maximum(np.asarray(shares).mean(axis=0), FLOOR)
    return np.log(mean / mean.sum())


def _anchors(attribute: Attribute) -> tuple[np.ndarray, np.ndarray]:
    """Return examples in Lab [A, 3] and the value [A] of each."""
    rgb = [(colour, k) for k, term in enumerate(attribute.terms.values()) for colour in term.rgb]
    return _lab(np.array([colour for colour, _ in rgb], np.uint8)), np.array([k for _, k in rgb])


def _lab(rgb: np.ndarray) -> np.ndarray:
    """[M, 3] uint8 -> CIE Lab with lightness scaled."""
    lab = cv2.cvtColor(rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return lab * np.array([LIGHTNESS, 1.0, 1.0], np.float32)
