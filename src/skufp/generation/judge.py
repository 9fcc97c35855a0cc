"""The judge: embeddings of a second encoder and colour histograms, by which the filter compares views.

Legend: N pictures, D the encoder's dim, K colour bins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from PIL import Image

from skufp.data.augment import foreground, squared

if TYPE_CHECKING:
    from skufp.models.dual_encoder import Encoder

BINS = (4, 8, 8)  # of L, a and b: coarse, and none centred on grey, so that noise moves no mass between bins
COLOUR_SIDE = 32  # pixels
# The blur's sigma in widths of the picture: 2 pixels of 64. An encoder embeds a merely blurred copy of a photo as far
# away as a new view. With both pictures blurred the copy is near again, while classic augmentations and other photos of
# the garment stay apart: stage=views reports all four.
STRUCTURE_BLUR = 1 / 32
BOUNDS = ((0.0, 100.0), (-100.0, 100.0), (-100.0, 100.0))  # of Lab's values; what lies outside goes to the last bin


@dataclass(frozen=True)
class Looks:
    """The judge's features of N pictures, each an array of float32.

    ``vectors`` [N, D] of unit norm, ``structure`` [N, D] the same of the blurred pictures, ``colours`` [N, K] that sum
    to 1.
    """

    vectors: np.ndarray
    structure: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Likeness:
    """Cosine similarities [P] of two pictures each: ``seen`` as they are, ``structure`` when both are blurred."""

    seen: np.ndarray
    structure: np.ndarray


Arrays = TypeVar("Arrays", Looks, Likeness)


class Judge:
    """Embeds pictures with ``encoder`` and counts their colours, all at ``size`` x ``size`` pixels.

    A real photo has more detail than a generator of that size can draw, and detail alone would separate the two. So
    every picture, real or generated, is resized to ``size`` before the encoder's own preprocessing.
    """

    def __init__(self, encoder: "Encoder", size: int, device: str = "cpu", batch_size: int = 64) -> None:
        self.encoder, self.size, self.device, self.batch_size = encoder.to(device).eval(), size, device, batch_size

    def look(self, pictures: Sequence[np.ndarray]) -> Looks:
        """Return the features of RGB [H, W, 3] uint8 pictures of any shape, computed in batches."""
        looks = [self._look(pictures[i : i + self.batch_size]) for i in range(0, len(pictures), self.batch_size)]
        if not looks:
            nothing = np.zeros((0, self.encoder.dim), np.float32)
            return Looks(nothing, nothing, np.zeros((0, math.prod(BINS)), np.float32))
        return joined(looks)

    def _look(self, pictures: Sequence[np.ndarray]) -> Looks:
        shrunk = [squared(picture, self.size) for picture in pictures]
        structure = self._encode([blurred(picture) for picture in shrunk])
        return Looks(self._encode(shrunk), structure, np.stack([colour_histogram(picture) for picture in shrunk]))

    def _encode(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        import torch
        import torch.nn.functional as F

        pixels = np.stack([self.encoder.preprocessing(Image.fromarray(picture)) for picture in pictures])
        with torch.inference_mode():
            encoded = self.encoder.encode_image(torch.from_numpy(pixels).to(self.device))
        vectors: np.ndarray = F.normalize(encoded.float(), dim=-1).cpu().numpy()
        return vectors


def blurred(picture: np.ndarray) -> np.ndarray:
    """Return a square picture [S, S, 3] uint8 without its detail: a Gaussian blur of sigma STRUCTURE_BLUR * S."""
    return cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), STRUCTURE_BLUR * len(picture))


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Concatenate one or more parts in order."""
    return type(parts[0])(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(parts[0])))


def likeness(a: Looks, b: Looks) -> Likeness:
    """Compare every picture of ``a`` with the picture of ``b`` at the same position."""
    return Likeness((a.vectors * b.vectors).sum(axis=1), (a.structure * b.structure).sum(axis=1))


def colour_histogram(picture: np.ndarray) -> np.ndarray:
    """Return [K] float32, sum 1: CIE Lab colours of the foreground, or of all pixels where none is found.

    A pixel is shared by the eight bins around it in proportion to its nearness (trilinear), so that a small change of
    colour is a small change of the histogram. A large picture is shrunk to COLOUR_SIDE first.
    """
    if max(picture.shape[:2]) > COLOUR_SIDE:
        picture = squared(picture, COLOUR_SIDE)
    lab = cv2.cvtColor(np.ascontiguousarray(picture, np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    low, high = np.array(BOUNDS, np.float32).T
    last = np.array(BINS) - 1
    place = np.clip((lab - low) / (high - low), 0, 1) * last
    below = np.minimum(place.astype(int), last - 1)
    above = place - below  # [P, 3] in 0 .. 1: how far towards the next bin
    weight = foreground(picture).reshape(-1)
    histogram = np.zeros(math.prod(BINS))
    for corner in product((0, 1), repeat=3):
        share = np.where(corner, above, 1 - above).prod(axis=1)
        bins = np.ravel_multi_index(tuple((below + corner).T), BINS)
        histogram += np.bincount(bins, weight * share, minlength=len(histogram))
    return (histogram / histogram.sum()).astype(np.float32)


def colour_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Hellinger distances [..., M, N] of histograms ``a`` [..., M, K] and ``b`` [..., N, K] that sum to 1.

    sqrt(1 - sum of sqrt(a b)), what cv2.compareHist calls HISTCMP_BHATTACHARYYA: 0 for equal ones, 1 for disjoint.
    """
    overlap = np.sqrt(a) @ np.swapaxes(np.sqrt(b), -1, -2)
    distances: np.ndarray = np.sqrt(np.clip(1 - overlap, 0, None))
    return distances
