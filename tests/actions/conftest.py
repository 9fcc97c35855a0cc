"""Drawn pictures whose faults are known."""

import cv2
import numpy as np
import pytest

GARMENT = (40, 30, 160, 210)  # left, top, right, bottom in a picture of 240 x 200


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Return ``image`` turned clockwise; what comes in is its mirror image."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


SHAPES = [(1, 1), (2, 3), (1, 700), (900, 2), (3, 3), (7, 5), (64, 64), (33, 410), (300, 301)]


def odd_pictures() -> list[np.ndarray]:
    """Return pictures of every sort that an action may meet."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in SHAPES]
    for shape in ((1, 1), (2, 3), (90, 70), (5, 600)):
        pictures += [np.full((*shape, 3), colour, np.uint8) for colour in ((0, 0, 0), (255, 255, 255), (200, 10, 90))]
    half = np.zeros((80, 60, 3), np.uint8)
    half[:, 30:] = 255
    return [*pictures, half, pictures[6][:, ::-1], pictures[6].transpose(1, 0, 2)[::2]]


@pytest.fixture
def garment() -> np.ndarray:
    """A red garment with a darker stripe on a plain beige wall."""
    image = np.full((240, 200, 3), (205, 200, 190), np.uint8)
    left, top, right, bottom = GARMENT
    image[top:bottom, left:right] = (180, 30, 40)
    image[110:130, left:right] = (110, 15, 25)
    return image


@pytest.fixture
def striped() -> np.ndarray:
    """A square with upright stripes on a grey wall."""
    image = np.full((256, 256, 3), 190, np.uint8)
    image[64:192, 64:192] = 60
    for x in range(72, 192, 24):
        image[64:192, x : x + 12] = 230
    return image


@pytest.fixture
def scene() -> np.ndarray:
    """Soft grey shapes, median near the middle, from black to white."""
    coarse = np.linspace(5, 250, 48).reshape(6, 8)
    grey = cv2.resize(np.random.default_rng(0).permutation(coarse.ravel()).reshape(6, 8).astype(np.float32), (160, 120))
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
