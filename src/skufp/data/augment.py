"""Train-time augmentation that turns a catalogue photo into something like a phone photo (OpenCV, NumPy)."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

cv2.setNumThreads(0)  # workers are processes; OpenCV's own threads would only fight them


@dataclass(frozen=True)
class PhonePhoto:
    """Random crop, perspective, light, colour cast, blur, noise and JPEG damage; each with its own strength.

    Called with an RGB image [H, W, 3] uint8 and a generator, returns an image of the same kind.
    """

    crop: float = 0.3  # share of a side that may be cut off
    perspective: float = 0.08  # corner shifts, in sides
    flip: float = 0.5
    exposure: float = 0.35  # log-gain
    cast: float = 0.12  # log-gain per channel
    blur: float = 1.5  # sigma, pixels at 256
    noise: float = 12.0  # grey levels
    occlusion: float = 0.3  # chance
    jpeg: tuple[int, int] = (40, 95)

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a damaged copy."""
        image = random_crop(image, self.crop, rng)
        if rng.random() < self.flip:
            image = image[:, ::-1]
        image = perspective(image, self.perspective, rng)
        if rng.random() < self.occlusion:
            image = occlude(image, rng)
        image = light(image, self.exposure, self.cast, rng)
        image = soften(image, self.blur, self.noise, rng)
        return recompress(image, self.jpeg, rng)


Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def random_crop(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Cut off up to ``strength`` of each side's length, split at random between its two ends."""
    height, width = image.shape[:2]
    h, w = (max(8, round(side * (1 - strength * rng.random()))) for side in (height, width))
    h, w = min(h, height), min(w, width)
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return image[y : y + h, x : x + w]


def perspective(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Move the four corners by up to ``strength`` of the sides; the border is mirrored."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shift = rng.uniform(-strength, strength, (4, 2)) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, (corners + shift).astype(np.float32))
    return cv2.warpPerspective(
        np.ascontiguousarray(image), matrix, (width, height), borderMode=cv2.BORDER_REFLECT
    )


def light(image: np.ndarray, exposure: float, cast: float, rng: np.random.Generator) -> np.ndarray:
    """Scale all channels together and each by itself, in log-gain, with a little gamma."""
    gain = np.exp(rng.uniform(-exposure, exposure) + rng.uniform(-cast, cast, 3))
    gamma = np.exp(rng.uniform(-0.2, 0.2))
    levels = (np.arange(256)[:, None] / 255.0) ** gamma * gain * 255
    return cv2.LUT(np.ascontiguousarray(image), np.clip(levels, 0, 255).astype(np.uint8).reshape(1, 256, 3))


def soften(image: np.ndarray, blur: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by up to ``blur`` pixels per 256 of the shorter side, then add up to ``noise`` levels of noise."""
    sigma = rng.random() * blur * min(image.shape[:2]) / 256
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    level = rng.random() * noise
    return np.clip(image + rng.normal(0, level, image.shape), 0, 255).astype(np.uint8)


def occlude(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover an ellipse or box of up to a fifth of the picture with one colour of a random pixel row."""
    image = np.ascontiguousarray(image).copy()
    height, width = image.shape[:2]
    center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
    axes = (int(width * rng.uniform(0.08, 0.25)), int(height * rng.uniform(0.08, 0.25)))
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    if rng.random() < 0.5:
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    else:
        cv2.rectangle(image, center, (center[0] + axes[0], center[1] + axes[1]), colour, -1)
    return image


def recompress(image: np.ndarray, quality: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Encode and decode as JPEG of a random quality."""
    value = int(rng.integers(quality[0], quality[1] + 1))
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, value])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
