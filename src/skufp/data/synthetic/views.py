"""Shop views of one garment: worn, flat, back, side, detail and folded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import cv2
import numpy as np

from .colours import PALETTE, Colours
from .cuts import Cut
from .garments import Points, Pose, Shape
from .paint import Stage, draw_figure, draw_shapes, fold_field, garment_outline, shade
from .params import CatalogueParams
from .prints import Image
from .wearer import pick_wearer

Garment = tuple[Cut, Colours, int]
VIEWPOINTS = {"worn": 2, "flat": 1, "back": 3, "side": 3, "detail": 1, "folded": 1, "close": 2}


@dataclass
class Drawing:
    """A drawn photo: RGB image, label map, and per item its outline (pixels), occlusion and zoom."""

    image: Image
    labels: Image
    viewpoint: int
    outlines: list[Points] = field(default_factory=list)
    occlusions: list[int] = field(default_factory=list)
    zooms: list[int] = field(default_factory=list)


def shop_pose(rng: np.random.Generator, view: str) -> Pose:
    """Draw the pose of a view."""
    side, back = view == "side", view == "back"
    if view == "flat" or (back and rng.random() < 0.4):
        arm = float(rng.uniform(22, 50))
        return Pose((arm, arm), (0.0, 0.0), float(rng.uniform(2, 6)), 0.0, back, False)
    arms = rng.uniform(4, 26, 2)
    bends = rng.choice([0.0, -10.0, -25.0, 20.0, -70.0], 2)
    yaw = float(rng.uniform(58, 84)) if side else float(abs(rng.normal(0, 10)))
    return Pose(
        (float(arms[0]), float(arms[1])), (float(bends[0]), float(bends[1])),
        float(rng.uniform(0, 7)), yaw, back, True,
    )  # fmt: skip


def fit(
    rng: np.random.Generator, outline: Points, size: tuple[int, int], fill: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """Scale and origin that make an outline fill a share of an image of (width, height)."""
    low, high = outline.min(0), outline.max(0)
    extent = np.maximum(high - low, 0.2)
    scale = float(min(size[0] / extent[0], size[1] / extent[1]) * rng.uniform(*fill))
    room = np.maximum(np.array(size) - extent * scale, 0.0) * 0.5
    over = np.maximum(extent * scale - np.array(size), 0.0) * 0.5
    centre = np.array(size) / 2 + rng.uniform(-0.6, 0.6, 2) * room + rng.uniform(-0.7, 0.7, 2) * over * (0.4, 1.0)
    origin = centre - scale * (low + high) / 2
    return scale, (float(origin[0]), float(origin[1]))


def studio(rng: np.random.Generator, width: int, height: int) -> Image:
    """Shop background: white, grey or tinted with a gradient, sometimes with a floor line; RGB."""
    kind = float(rng.random())
    if kind < 0.45:
        base = np.full(3, float(rng.uniform(236, 252)))
    elif kind < 0.75:
        base = np.full(3, float(rng.uniform(178, 228))) + rng.normal(0, 4, 3)
    else:
        base = 0.45 * np.array(PALETTE[rng.choice(["beige", "sky", "mint", "pink", "lilac", "grey"])]) + 0.5 * 240
    ramp = np.linspace(float(rng.uniform(-7, 7)), float(rng.uniform(-14, 4)), height)
    rows = np.clip(base + ramp[:, None], 0, 255).astype(np.uint8)
    image = np.repeat(rows[:, None], width, axis=1)
    if rng.random() < 0.3:
        image[int(height * rng.uniform(0.8, 0.93)) :] = np.clip(base * 0.9, 0, 255).astype(np.uint8)
    return image


def drop_shadow(stage: Stage, outline_labels: Image, depth: float) -> None:
    """Darken the scene beside what is labelled."""
    moved = np.roll(outline_labels > 0, (4, 5), (0, 1)).astype(np.float32)
    soft = 1.0 - depth * cv2.blur(moved, (13, 13))
    shade(stage, soft, stage.labels == 0)


def _tag(rng: np.random.Generator, centre: Points, half: float) -> list[Shape]:
    """Care label or hang-tag with lines of print; body units."""
    turn, tall = float(rng.normal(0, 0.25)), float(rng.uniform(0.7, 1.35))
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    card = np.array([[-1, -tall], [1, -tall], [1, tall], [-1, tall]]) * half
    shapes = [
        Shape(card @ spin.T + centre, "plain"),
        Shape(card[[0, 1, 2, 3, 0]] @ spin.T + centre, "hair", width=0.006),
    ]
    for y in np.linspace(-0.75, 0.75, 6) * tall * half:
        line = np.array([[-0.75 * half, y], [half * rng.uniform(0.1, 0.8), y]])
        shapes.append(Shape(line @ spin.T + centre, "hair", width=0.07 * half + 0.004))
    return shapes


def _detail(rng: np.random.Generator, stage: Stage, garment: Garment, params: CatalogueParams) -> None:
    """Close-up: cloth over most of the frame, one edge, and buttons, stitches or a care label."""
    cut, colours, label = garment
    height, width = stage.labels.shape
    stage.scale, stage.origin = float(rng.uniform(300, 480)), (width / 2, height / 2)
    far, turn = 2.0, float(rng.uniform(-0.5, 0.5))
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    edge = float(rng.uniform(0.12, 0.45))
    sheet = np.array([[-far, -far], [far, -far], [far, edge], [-far, edge]]) @ spin.T
    lines = [Shape(np.array([[-far, edge - 0.06], [far, edge - 0.06]]) @ spin.T, "shade", width=0.012)]
    if cut.trim == "edges":
        lines.append(Shape(np.array([[-far, edge], [far, edge]]) @ spin.T, "second", width=0.09))
    if cut.closure in ("buttons", "placket", "zip"):
        x = float(rng.uniform(-0.15, 0.15))
        lines.append(Shape(np.array([[x, -far], [x, edge]]) @ spin.T, "shade", width=0.02))
        t = np.linspace(0, 2 * np.pi, 13)[:-1]
        ring = 0.035 * np.stack([np.cos(t), np.sin(t)], 1)
        lines += [Shape((ring + np.array([x - 0.05, y])) @ spin.T, "metal") for y in (-0.25, 0.0)]
    if rng.random() < params.tag_share:
        half = float(rng.uniform(*params.tag_size)) * width / (2 * stage.scale)
        lines += _tag(rng, np.array([rng.uniform(-0.08, 0.08), rng.uniform(-0.15, 0.05)]), half)
    wearer = replace(pick_wearer(rng, True), plain=(244, 243, 238), hair=(60, 60, 64))
    draw_shapes(stage, [Shape(sheet, "fabric", True, float(np.degrees(turn))), *lines], cut, colours, wearer, label)


def _folded(rng: np.random.Generator, stage: Stage, garment: Garment, params: CatalogueParams) -> None:
    """Folded pile: a rounded rectangle with layered lower edges, perhaps a collar or a hang-tag."""
    cut, colours, label = garment
    height, width = stage.labels.shape
    stage.scale = float(rng.uniform(110, 150))
    stage.origin = (width / 2 + float(rng.uniform(-12, 12)), height / 2 + float(rng.uniform(-20, 20)))
    half_x, half_y, turn = (
        float(rng.uniform(0.38, 0.55)),
        float(rng.uniform(0.3, 0.6)),
        float(rng.normal(0, 0.15)),
    )
    t = np.linspace(0, 2 * np.pi, 41)[:-1]
    power = 0.22
    ring = np.stack(
        [np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power, np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power], 1
    )
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    pile = (ring * (half_x, half_y)) @ spin.T
    lines = [
        Shape(np.array([[-half_x, half_y - d], [half_x, half_y - d]]) @ spin.T, "shade", width=0.014)
        for d in (0.06, 0.12)
    ]
    if cut.collar != "none":
        leaf = np.array([[-0.18, -half_y], [0.0, -half_y + 0.16], [0.18, -half_y]])
        lines.append(Shape(leaf @ spin.T, "second" if cut.trim == "edges" else "shade", width=0.03))
    lines.append(
        Shape(np.array([[0.3 * half_x, -half_y], [0.22 * half_x, half_y - 0.12]]) @ spin.T, "shade", width=0.012)
    )
    shapes = [Shape(pile, "fabric", True, float(np.degrees(turn)) + float(rng.choice([0.0, 90.0]))), *lines]
    if rng.random() < params.tag_share:
        half = float(rng.uniform(*params.tag_size)) * half_x
        shapes += _tag(rng, np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)]), half)
    wearer = replace(pick_wearer(rng, True), plain=(244, 243, 238), hair=(60, 60, 64))
    draw_shapes(stage, shapes, cut, colours, wearer, label)


def draw_shop_view(
    rng: np.random.Generator,
    place: np.random.Generator,
    view: str,
    garments: list[Garment],
    params: CatalogueParams,
) -> Drawing:
    """Draw a catalogue photo of the first garment (others are worn with it), image (h, w, 3) RGB.

    place: random stream of the studio and the wearer, shared by photos taken there.
    """
    size = (params.width, params.height)
    wearer = pick_wearer(place, bool(place.random() < 0.35))
    stage = Stage(studio(place, *size), np.zeros(size[::-1], np.uint8), 1.0, (0.0, 0.0))
    outlines: list[Points] = []
    if view in ("detail", "folded"):
        (_detail if view == "detail" else _folded)(rng, stage, garments[0], params)
    else:
        pose = shop_pose(rng, view)
        points = [garment_outline(cut, pose) for cut, _, _ in garments]
        fill = (1.6, 2.3) if view == "close" else (0.74, 0.94)
        stage.scale, stage.origin = fit(rng, np.concatenate(points), size, fill)
        draw_figure(stage, garments, pose, wearer)
        outlines = [stage.place(p) for p in points]
    shade(stage, fold_field(rng, stage, float(rng.uniform(0.02, 0.07))))
    drop_shadow(stage, stage.labels, 0.22)
    stage.image = cast(Image, cv2.convertScaleAbs(stage.image, alpha=float(rng.uniform(*params.shop_gain))))
    zoom = 3 if view in ("detail", "close") else 1
    return Drawing(stage.image, stage.labels, VIEWPOINTS[view], outlines, [1] * len(garments), [zoom] * len(garments))
