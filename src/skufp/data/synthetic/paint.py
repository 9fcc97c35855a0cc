"""Painting shapes on an image: fabric, flat tones, front graphic, folds, and the label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from .assembly import collar_shapes, garment_shapes, sleeve_shapes
from .colours import RGB, Colours
from .cuts import Cut, Print
from .furnishing import on_surface
from .garments import Points, Pose, Shape, is_lower, silhouette
from .prints import PATCH, TILE_PER_UNIT, Field, Image, fabric, graphic_masks
from .wearer import Wearer, head, limbs, lower_body, plain_lower, plain_upper, trunk_skin

OTHER = 255
SUBPIXEL = 4


@dataclass
class Stage:
    """An image being drawn, its label map (0 scene, 1.. items, 255 wearer) and the body frame's place.

    scale: pixels per body unit; origin: pixel of the body frame's (0, 0).
    """

    image: Image
    labels: Image
    scale: float
    origin: tuple[float, float]

    def place(self, points: Points) -> Points:
        """Body units to pixels, (n, 2)."""
        return points * self.scale + self.origin


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(points * (1 << SUBPIXEL)).astype(np.int32)


def _dim(colour: RGB, factor: float) -> RGB:
    r, g, b = (int(min(v * factor, 255)) for v in colour)
    return r, g, b


def _tone(tone: str, colours: Colours, wearer: Wearer) -> RGB:
    if tone == "shade":
        dark = sum(colours.main) < 210
        return tuple(v + 38 for v in colours.main) if dark else _dim(colours.main, 0.62)  # type: ignore[return-value]
    table = {
        "second": colours.second, "third": colours.third, "inner": _dim(colours.main, 0.55),
        "metal": (212, 206, 190),
        "skin": wearer.skin, "hair": wearer.hair, "plain": wearer.plain, "lower": wearer.lower,
    }  # fmt: skip
    return table.get(tone, colours.main)


def _fill_fabric(stage: Stage, pixels: Points, spec: Print, colours: Colours, angle: float) -> None:
    height, width = stage.labels.shape
    x0, y0 = np.maximum(np.floor(pixels.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(pixels.max(0)).astype(int) + 2, (width, height))
    if x1 <= x0 or y1 <= y0:
        return
    tile, turn = fabric(spec, colours), np.radians(spec.angle + angle)
    step = TILE_PER_UNIT / stage.scale
    spin = step * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    shift = spin @ (np.array([x0, y0]) - stage.origin)
    matrix = np.column_stack([spin, shift])
    cloth = cv2.warpAffine(
        tile, matrix, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    mask = np.zeros(cloth.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fixed(pixels - (x0, y0))], 255, cv2.LINE_AA, SUBPIXEL)
    blend(stage.image[y0:y1, x0:x1], cast(Image, cloth), mask)


def blend(below: Image, above: Image | RGB, mask: Image) -> None:
    """Lay `above` over `below` in place; mask (h, w) 0..255."""
    share = mask[..., None].astype(np.uint16)
    top = np.asarray(above, np.uint16)
    below[:] = ((below * (255 - share) + top * share + 127) // 255).astype(np.uint8)


def draw_shapes(
    stage: Stage, shapes: Sequence[Shape], cut: Cut | None, colours: Colours, wearer: Wearer, label: int
) -> None:
    """Draw solid shapes in order, then the others clipped to what carries `label`."""
    solids = [s for s in shapes if s.solid or cut is None]
    for shape in solids:
        pixels = stage.place(shape.points)
        if shape.tone == "fabric" and cut is not None:
            _fill_fabric(stage, pixels, cut.print, colours, shape.angle)
        else:
            cv2.fillPoly(stage.image, [_fixed(pixels)], _tone(shape.tone, colours, wearer), cv2.LINE_AA, SUBPIXEL)
        cv2.fillPoly(stage.labels, [_fixed(pixels)], label, cv2.LINE_8, SUBPIXEL)
    details = [s for s in shapes if not s.solid and cut is not None]
    if not details:
        return
    before = stage.image.copy()
    for shape in details:
        path, tone = _fixed(stage.place(shape.points)), _tone(shape.tone, colours, wearer)
        if shape.width > 0:
            thick = max(1, round(shape.width * stage.scale))
            cv2.polylines(stage.image, [path], False, tone, thick, cv2.LINE_AA, SUBPIXEL)
        else:
            cv2.fillPoly(stage.image, [path], tone, cv2.LINE_AA, SUBPIXEL)
    cv2.copyTo(before, (stage.labels != label).astype(np.uint8), stage.image)


def block_shapes(cut: Cut, back: bool) -> list[Shape]:
    """Colour-block panel over the trunk, or the plain back panel."""
    lower = is_lower(cut)
    if back and cut.back_panel:
        return [Shape(np.array([[-4.0, -1.0], [4.0, -1.0], [4.0, 4.0], [-4.0, 4.0]]), "second")]
    middle = 0.5 * (0.98 + cut.length) if lower else 0.62
    far = 4.0
    if cut.block == "horizontal":
        return [Shape(np.array([[-far, middle], [far, middle], [far, far], [-far, far]]), "second")]
    if cut.block == "diagonal":
        return [Shape(np.array([[-far, middle - far], [far, middle + far], [-far, far]]), "second")]
    if cut.block == "vertical":
        return [Shape(np.array([[0.0, -1.0], [far, -1.0], [far, far], [0.0, far]]), "second")]
    return []


def _draw_graphic(stage: Stage, cut: Cut, colours: Colours, pose: Pose, label: int) -> None:
    graphic = cut.graphic
    if graphic is None or pose.back:
        return
    half = graphic.size / 2
    corners = np.array([[-half, -half], [half, -half], [-half, half]]) + np.array([graphic.x, graphic.y])
    target = stage.place(on_surface(corners, cut, pose)).astype(np.float32)
    source = np.array([[0, 0], [PATCH, 0], [0, PATCH]], np.float32)
    matrix = cv2.getAffineTransform(source, target)
    height, width = stage.labels.shape
    inside = stage.labels == label
    for mask, tone in zip(graphic_masks(graphic), (colours.second, colours.third), strict=True):
        laid = cast(Image, cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_AREA))
        laid[~inside] = 0
        x, y, w, h = cv2.boundingRect(laid)
        if w and h:
            area = slice(y, y + h), slice(x, x + w)
            blend(stage.image[area], tone, laid[area])


def draw_garment(stage: Stage, cut: Cut, colours: Colours, pose: Pose, wearer: Wearer, label: int) -> None:
    """Trunk of a garment with its panel, graphic and details; sleeves and collar come separately."""
    shapes = garment_shapes(cut, pose)
    last = max(k for k, s in enumerate(shapes) if s.solid)
    draw_shapes(stage, [*shapes[:last], shapes[last], *block_shapes(cut, pose.back)], cut, colours, wearer, label)
    _draw_graphic(stage, cut, colours, pose, label)
    draw_shapes(stage, [s for s in shapes if not s.solid], cut, colours, wearer, label)


_NO_COLOURS = Colours(("white", "black", "grey"), (200, 200, 200), (40, 40, 40), (120, 120, 120))


def draw_figure(stage: Stage, garments: Sequence[tuple[Cut, Colours, int]], pose: Pose, wearer: Wearer) -> None:
    """Draw garments (cut, colours, label), on a wearer when the pose is worn."""
    ordered = sorted(garments, key=lambda g: not is_lower(g[0]))
    covers_upper = any(not is_lower(cut) for cut, _, _ in ordered)
    covers_lower = any(is_lower(cut) or cut.length > 1.7 for cut, _, _ in ordered)
    shoulder = max((cut.shoulder for cut, _, _ in ordered if not is_lower(cut)), default=0.44)
    if pose.worn:
        draw_shapes(stage, [*trunk_skin(pose), *lower_body(pose)], None, _NO_COLOURS, wearer, OTHER)
        if not covers_lower:
            draw_shapes(stage, [plain_lower(pose)], None, _NO_COLOURS, wearer, OTHER)
        if not covers_upper:
            draw_shapes(stage, [plain_upper(pose)], None, _NO_COLOURS, wearer, OTHER)
    for cut, colours, label in ordered:
        draw_garment(stage, cut, colours, pose, wearer, label)
    if pose.worn:
        draw_shapes(stage, limbs(shoulder, pose), None, _NO_COLOURS, wearer, OTHER)
    for cut, colours, label in ordered:
        if not is_lower(cut):
            draw_shapes(stage, sleeve_shapes(cut, pose), cut, colours, wearer, label)
            draw_shapes(stage, collar_shapes(cut, pose), cut, colours, wearer, label)
    if pose.worn:
        draw_shapes(stage, head(pose, wearer.long_hair), None, _NO_COLOURS, wearer, OTHER)


def garment_outline(cut: Cut, pose: Pose) -> Points:
    """Silhouette points of a garment in body units (trunk, then sleeves), for extents and landmarks."""
    solids = [s.points for s in garment_shapes(cut, pose) if s.solid]
    solids += [s.points for s in sleeve_shapes(cut, pose) if s.solid]
    return np.concatenate([silhouette(cut, pose), *solids])


def fold_field(rng: np.random.Generator, stage: Stage, strength: float) -> Field:
    """Brightness factor of folds and body form over the whole stage, (h, w)."""
    height, width = stage.labels.shape
    cloth = (stage.labels > 0).astype(np.float32)
    reach = max(3, int(0.28 * stage.scale)) | 1
    form = 0.72 + 0.36 * cv2.blur(cloth, (reach, reach))
    half = (height // 2, width // 2)
    y, x = np.mgrid[: half[0], : half[1]].astype(np.float32) * (2.0 / stage.scale)
    bend = 0.25 * np.sin(1.7 * y + float(rng.uniform(0, 6))) + 0.2 * np.sin(2.3 * x + float(rng.uniform(0, 6)))
    folds = np.zeros(half, np.float32)
    for _ in range(3):
        turn, rate = float(rng.normal(0.0, 0.7)), float(rng.uniform(3.0, 11.0))
        wave = np.sin(rate * (np.cos(turn) * x + np.sin(turn) * y + bend) + float(rng.uniform(0, 6)))
        folds += wave * np.abs(wave)
    return form * (1.0 + strength * cv2.resize(folds, (width, height), interpolation=cv2.INTER_LINEAR))


def shade(stage: Stage, field: Field, where: NDArray[np.bool_] | None = None) -> None:
    """Multiply the labelled part of the image by a brightness field."""
    inside = stage.labels > 0 if where is None else where
    factor = np.where(inside, field, np.float32(1.0))
    cv2.multiply(stage.image, cv2.merge([factor] * 3), dst=stage.image, dtype=cv2.CV_8U)
