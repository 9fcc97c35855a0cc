"""User photos: clutter behind, pose warp, occluders, light, blur and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from .colours import HAIR, NAMES, PALETTE, RGB, SKIN
from .garments import Points
from .paint import OTHER, Stage, draw_figure, fold_field, garment_outline, shade
from .params import CatalogueParams
from .prints import Image, periodic_noise
from .views import VIEWPOINTS, Drawing, Garment, drop_shadow, fit, shop_pose
from .wearer import pick_wearer

Map = NDArray[np.float32]


def _colour(rng: np.random.Generator, mute: float) -> RGB:
    base = np.array(PALETTE[NAMES[int(rng.integers(len(NAMES)))]])
    r, g, b = (int(v) for v in mute * np.array([150, 142, 132]) + (1 - mute) * base)
    return r, g, b


def _furniture(rng: np.random.Generator, image: Image) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 7))):
        w, h = int(rng.uniform(0.12, 0.5) * width), int(rng.uniform(0.12, 0.6) * height)
        x, y = int(rng.uniform(-0.2, 1) * width), int(rng.uniform(-0.1, 1) * height)
        cv2.rectangle(image, (x, y), (x + w, y + h), _colour(rng, 0.35), -1)
        if rng.random() < 0.5:
            cv2.rectangle(image, (x, y), (x + w, y + h), _colour(rng, 0.6), int(rng.integers(1, 4)))
        if rng.random() < 0.4:
            for k in range(1, 4):
                cv2.line(image, (x, y + k * h // 4), (x + w, y + k * h // 4), _colour(rng, 0.6), 1)


def _clothes_rail(rng: np.random.Generator, image: Image) -> None:
    height, width = image.shape[:2]
    x, top, bottom = 0, int(rng.uniform(0, 0.3) * height), int(rng.uniform(0.55, 1.0) * height)
    while x < width:
        step = int(rng.integers(5, 18))
        cv2.rectangle(image, (x, top), (x + step, bottom - int(rng.integers(0, 20))), _colour(rng, 0.1), -1)
        x += step


def clutter(rng: np.random.Generator, width: int, height: int, bed: bool) -> Image:
    """Background of a user photo; (height, width, 3) RGB, drawn at half size."""
    small = np.empty((height // 2, width // 2, 3), np.uint8)
    small[:] = _colour(rng, 0.4)
    if bed:
        if rng.random() < 0.4:
            second, step = _colour(rng, 0.4), int(rng.integers(8, 26))
            for x in range(0, width // 2, step):
                cv2.rectangle(small, (x, 0), (x + step // 2, height // 2), second, -1)
        sheet = periodic_noise(rng, 6, 96)
        relief = cv2.resize(sheet, (width // 2, height // 2)) * 0.09
    else:
        floor = int(height // 2 * rng.uniform(0.6, 0.95))
        small[floor:] = _colour(rng, 0.5)
        if rng.random() < 0.3:
            _clothes_rail(rng, small)
        _furniture(rng, small)
        relief = cv2.resize(periodic_noise(rng, 12, 96), (width // 2, height // 2)) * 0.07
    lit = np.clip(small * (1.0 + relief[..., None]), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        lit = cast(Image, cv2.blur(lit, (5, 5)))
    return cast(Image, cv2.resize(lit, (width, height), interpolation=cv2.INTER_LINEAR))


class Warp:
    """Rotation, perspective and smooth elastic bend of a photo, with its exact inverse for points."""

    def __init__(self, rng: np.random.Generator, params: CatalogueParams, degrees: float) -> None:
        self.size = width, height = params.width, params.height
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        shift = rng.uniform(-params.perspective, params.perspective, (4, 2)) * (width, height)
        spin = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        tilt = cv2.getPerspectiveTransform(corners, (corners + shift).astype(np.float32))
        self.forward = tilt @ np.vstack([spin, [0, 0, 1]])
        self.amplitude = params.elastic * height * rng.uniform(0.4, 1.0, (2, 2)) * rng.choice([-1.0, 1.0], (2, 2))
        self.rate = rng.uniform(1.2, 3.2, (2, 2)) * 2 * np.pi / height
        self.phase = rng.uniform(0, 2 * np.pi, (2, 2))

    def _bend(self, x: Map, y: Map) -> tuple[Map, Map]:
        a, f, p = (np.asarray(v, np.float32) for v in (self.amplitude, self.rate, self.phase))
        across = a[0, 0] * np.sin(f[0, 0] * y + p[0, 0]) + 0.5 * a[0, 1] * np.sin(f[0, 1] * x + p[0, 1])
        down = a[1, 0] * np.sin(f[1, 0] * x + p[1, 0]) + 0.5 * a[1, 1] * np.sin(f[1, 1] * y + p[1, 1])
        return across, down

    def maps(self) -> tuple[Map, Map]:
        """Source coordinates of every target pixel, two (h, w) arrays."""
        width, height = self.size
        back = np.linalg.inv(self.forward).astype(np.float32)
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
        sx = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth
        sy = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth
        across, down = self._bend(sx, sy)
        return sx + across, sy + down

    def points(self, points: Points) -> Points:
        """Where source points (n, 2) land in the target, (n, 2)."""
        goal = points.astype(np.float32)
        guess = goal.copy()
        for _ in range(6):
            across, down = self._bend(guess[:, 0], guess[:, 1])
            guess = goal - np.stack([across, down], 1)
        flat = np.column_stack([guess, np.ones(len(guess))]) @ self.forward.T
        return flat[:, :2] / flat[:, 2:]


def _occluder(rng: np.random.Generator, image: Image, cover: Image, box: Sequence[int]) -> None:
    """Draw one arm, bag, phone or lock of hair over the garment's box (x, y, w, h)."""
    x, y, w, h = box
    kind = str(rng.choice(["arm", "bag", "phone", "hair"]))
    centre = np.array([x + w * rng.uniform(0.1, 0.9), y + h * rng.uniform(0.15, 0.85)])
    if kind in ("arm", "hair"):
        colour = SKIN[int(rng.integers(5))] if kind == "arm" else HAIR[int(rng.integers(5))]
        thick = (0.09, 0.18) if kind == "arm" else (0.04, 0.1)
        reach = max(w, h) * rng.uniform(0.4, 0.8)
        turn = rng.uniform(0, np.pi) if kind == "arm" else rng.normal(np.pi / 2, 0.15)
        offset = reach * np.array([np.cos(turn), np.sin(turn)])
        start = centre - offset if kind == "arm" else np.array([centre[0], y - 5.0])
        ends = [tuple(int(v) for v in p) for p in (start, centre + (0 if kind == "arm" else 0.3) * offset)]
        for target, tone in ((image, colour), (cover, 255)):
            cv2.line(target, ends[0], ends[1], tone, max(4, int(w * rng.uniform(*thick))), cv2.LINE_AA)
        return
    size = np.array([w * rng.uniform(0.12, 0.2), w * rng.uniform(0.22, 0.36)])
    if kind == "bag":
        size = np.array([w * rng.uniform(0.25, 0.5), h * rng.uniform(0.18, 0.36)])
    corners = cv2.boxPoints((tuple(centre), tuple(size), float(rng.normal(0, 12)))).astype(np.int32)
    colour = _colour(rng, 0.1) if kind == "bag" else (30, 30, 34)
    for target, tone in ((image, colour), (cover, 255)):
        cv2.fillPoly(target, [corners], tone, cv2.LINE_AA)
    if kind == "bag" and rng.random() < 0.6:
        cv2.line(
            image,
            (int(centre[0]), int(centre[1])),
            (int(x + w * rng.uniform(0, 1)), y),
            colour,
            4,
            cv2.LINE_AA,
        )


def _occlude(rng: np.random.Generator, drawing: Drawing, share: float) -> Image:
    """Add occluders and set each item's occlusion field; returns what they cover (h, w)."""
    cover = np.zeros_like(drawing.labels)
    box = cv2.boundingRect((drawing.labels == 1).astype(np.uint8))
    if rng.random() < share and box[2] > 8:
        for _ in range(int(rng.choice([1, 1, 2]))):
            _occluder(rng, drawing.image, cover, box)
    for label in range(1, len(drawing.occlusions) + 1):
        inside = drawing.labels == label
        covered = float((cover[inside] > 0).mean()) if inside.any() else 0.0
        drawing.occlusions[label - 1] = 1 if covered < 0.1 else 2 if covered < 0.3 else 3
    return cover


def _light(rng: np.random.Generator, image: Image, params: CatalogueParams) -> Image:
    height, width = image.shape[:2]
    cast = np.exp(rng.normal(0, params.user_cast, 3)) * rng.uniform(*params.user_gain)
    factor = np.ones((height, width, 1), np.float32) * cast.astype(np.float32)
    if rng.random() < params.shadow_share:
        turn, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5)
        x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(np.cos(turn))
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(turn))
        edge = np.clip(0.5 + (x + y - rng.uniform(-0.4, 0.4)) / rng.uniform(0.3, 2.0), 0, 1)
        factor *= (1 - depth * edge).astype(np.float32)[..., None]
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(rng.uniform(*params.noise_sigma))
    return np.clip(image * factor + grain, 0, 255).astype(np.uint8)


def _blur(rng: np.random.Generator, image: Image, share: float) -> Image:
    if rng.random() >= share:
        return image
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 2.0)))  # type: ignore[return-value]
    length, turn = int(rng.integers(3, 10)), rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle, reach = (length - 1) / 2, (length - 1) / 2 * np.array([np.cos(turn), np.sin(turn)])
    ends = [tuple(round(middle + s * r) for r in reach) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum())  # type: ignore[return-value]


def draw_user_photo(rng: np.random.Generator, view: str, garments: list[Garment], params: CatalogueParams) -> Drawing:
    """Draw a customer's photo of the garments, image (h, w, 3) RGB."""
    size, flat = (params.width, params.height), view == "flat"
    stage = Stage(clutter(rng, *size, bed=flat), np.zeros(size[::-1], np.uint8), 1.0, (0.0, 0.0))
    pose = shop_pose(rng, view)
    points = [garment_outline(cut, pose) for cut, _, _ in garments]
    truncated = bool(rng.random() < params.truncate_share)
    fill = (1.7, 2.4) if view == "close" else (0.95, 1.2) if truncated else (0.55, 0.86)
    stage.scale, stage.origin = fit(rng, np.concatenate(points), size, fill)
    draw_figure(stage, garments, pose, pick_wearer(rng, False))
    shade(stage, fold_field(rng, stage, float(rng.uniform(0.03, 0.1))))
    drop_shadow(stage, stage.labels, 0.35 if flat else 0.2)
    warp = Warp(rng, params, float(rng.normal(0, params.rotation)) * (3.0 if flat else 1.0))
    x, y = warp.maps()
    image = cv2.remap(stage.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    labels = cv2.remap(stage.labels, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    drawing = Drawing(image, labels, VIEWPOINTS[view])  # type: ignore[arg-type]
    drawing.outlines = [warp.points(stage.place(p)) for p in points]
    zoom = 3 if view == "close" else 2 if truncated else 1
    drawing.occlusions, drawing.zooms = [1] * len(garments), [zoom] * len(garments)
    cover = _occlude(rng, drawing, params.occluder_share)
    drawing.image = _light(rng, _blur(rng, drawing.image, params.blur_share), params)
    drawing.labels = np.where((cover > 0) & (drawing.labels == 0), OTHER, drawing.labels).astype(np.uint8)
    return drawing
