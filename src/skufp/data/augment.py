"""Training augmentation: turns a catalogue photo into a simulated phone photo (NumPy, OpenCV).

Every function takes and returns RGB [H, W, 3] uint8 and draws its random numbers from the given generator.
"""

from dataclasses import dataclass

import cv2
import numpy as np

cv2.setNumThreads(0)  # loader workers are processes; OpenCV's own threads would compete with them
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class PhonePhoto:
    """The strength of the phone simulation: standard deviations, in log units for factors.

    ``real_query_share`` is the share of queries that are real, for SKUs that have any; the others are simulated from
    catalogue photos.
    """

    real_query_share: float = 0.5
    warp: float = 1.0
    cast: float = 0.14
    exposure: float = 0.12
    gamma: float = 0.15
    occlusion_share: float = 0.5

    def simulate(self, image: np.ndarray, others: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
        """Simulate a phone photo: another background, sometimes an occluder, other light, and degraded."""
        picture, mask = warp(image, foreground(image), size, self.warp, rng)
        picture = paste(picture, mask, piece(others, size, rng))
        if rng.random() < self.occlusion_share:
            picture = occlude(picture, piece(others, size, rng), rng)
        picture = relight(picture, self.cast, self.exposure, self.gamma, rng)
        return degrade(picture, rng)

    def query(self, image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Augment a real query slightly."""
        picture, _ = warp(image, None, size, self.warp / 2, rng)
        return relight(picture, self.cast / 2, self.exposure, self.gamma / 2, rng)

    def catalogue(self, image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Augment a catalogue photo's geometry only: its colours are the truth."""
        return warp(image, None, size, self.warp / 2, rng)[0]


def foreground(image: np.ndarray, tolerance: int = 16) -> np.ndarray:
    """Return [H, W] float32: 0 on an even studio background connected to the corners, else 1.

    Without such a background (under 3 % or over 90 % of the picture) everything is foreground.
    """
    height, width = image.shape[:2]
    picture = np.array(image)  # floodFill wants to write, even when it does not
    filled = np.zeros((height + 2, width + 2), np.uint8)
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
        if not filled[corner[1] + 1, corner[0] + 1] and picture[corner[1], corner[0]].min() > 90:
            cv2.floodFill(picture, filled, corner, 0, (tolerance,) * 3, (tolerance,) * 3, flags)
    background = filled[1:-1, 1:-1]
    if not 0.03 < background.mean() < 0.9:
        return np.ones((height, width), np.float32)
    return cv2.GaussianBlur(1 - background.astype(np.float32), (0, 0), 0.8)


def squared(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a picture [H, W, 3] uint8 or a mask [H, W] float32 to [size, size], not keeping the aspect."""
    is_mask = image.dtype != np.uint8
    larger = cv2.INTER_LINEAR if is_mask else cv2.INTER_CUBIC  # cubic would leave a mask's 0..1
    way = cv2.INTER_AREA if max(image.shape[:2]) > size else larger
    resized = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=way)
    return resized.round(4) if is_mask else resized  # area weights sum to a hair under 1, and paste rounds down


def warp(
    image: np.ndarray, mask: np.ndarray | None, size: int, strength: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate, scale, shift and tilt; map the result onto [size, size]. Pixels from outside the picture are white.

    ``mask`` [H, W] is warped alike (None: all ones); outside it is 0.
    """
    height, width = image.shape[:2]
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    centre, sides = box.mean(axis=0), np.array([width, height])
    angle = rng.normal(0, 0.10 * strength)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (box - centre) * np.exp(rng.normal(0, 0.08 * strength, 2)) @ rotation.T + centre
    corners += (rng.normal(0, 0.05 * strength, 2) + rng.normal(0, 0.05 * strength, (4, 2))) * sides
    if rng.random() < 0.5:
        corners = corners[[1, 0, 3, 2]]
    target = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    way = cv2.INTER_AREA if width > size else cv2.INTER_CUBIC
    picture = cv2.warpPerspective(np.ascontiguousarray(image), matrix, (size, size), flags=way, borderValue=WHITE)
    mask = np.ones((height, width), np.float32) if mask is None else mask
    return picture, cv2.warpPerspective(mask, matrix, (size, size), flags=cv2.INTER_LINEAR)


def piece(photos: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random square out of a random photo and return it as [size, size]."""
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = max(1, int(min(height, width) * rng.uniform(0.3, 1)))
    y, x = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return cv2.resize(photo[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)


def paste(image: np.ndarray, mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Show ``background`` where ``mask`` is 0."""
    weight = mask[..., None]
    return (image * weight + background * (1 - weight)).astype(np.uint8)


def occlude(image: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put an ellipse of another picture of the same size in front."""
    size = image.shape[0]
    covered = np.zeros((size, size), np.uint8)
    centre = tuple(int(v) for v in rng.uniform(0.25, 0.85, 2) * size)
    axes = tuple(int(v) for v in rng.uniform(0.10, 0.30, 2) * size)
    cv2.ellipse(covered, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.where(covered[..., None] > 0, other, image)


def relight(image: np.ndarray, cast: float, exposure: float, gamma: float, rng: np.random.Generator) -> np.ndarray:
    """Change gain per channel, overall gain and gamma, but not the hue, which distinguishes siblings."""
    levels = np.arange(256)[:, None] / 255.0
    gain = np.exp(rng.normal(0, cast, 3) + rng.normal(0, exposure))
    table = np.clip(levels ** np.exp(rng.normal(0, gamma)) * gain, 0, 1) * 255
    return cv2.LUT(np.ascontiguousarray(image), table.astype(np.uint8).reshape(1, 256, 3))


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, lower the resolution, add noise and JPEG artefacts, each at random."""
    size = image.shape[0]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6) * size / 160)
    if rng.random() < 0.4:
        small = max(2, int(size * rng.uniform(0.4, 0.9)))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.6:
        image = np.clip(image + rng.normal(0, rng.uniform(1, 9), image.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(30, 90))
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(image)
