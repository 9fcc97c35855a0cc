"""Noisy twins of query photos: simulated second takes of the same photo."""

import hashlib

import cv2
import numpy as np

CUT = (0.01, 0.02)  # share of a side that is cut off, more at one end than at the other: a shift
EXPOSURE = 0.03  # standard deviation of the log of the gain
NOISE = 2.0  # grey levels (standard deviation)
QUALITY = 85


def noisy_twin(image: np.ndarray, name: str) -> np.ndarray:
    """Return RGB [H', W', 3] uint8: ``image`` cropped by 1-2 %, slightly lighter or darker, with noise and JPEG again.

    ``name`` seeds the random numbers: equal names give equal twins.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))
    top, height = _cut(image.shape[0], rng)
    left, width = _cut(image.shape[1], rng)
    picture = image[top : top + height, left : left + width].astype(np.float32)
    picture = picture * np.exp(rng.normal(0, EXPOSURE)) + rng.normal(0, NOISE, picture.shape)
    picture = np.clip(picture.round(), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _cut(side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the start and length of a side after the crop: at least a pixel shorter if it has two."""
    off = min(max(1, round(side * rng.uniform(*CUT))), side - 1)
    return int(rng.integers(off + 1)), side - off
