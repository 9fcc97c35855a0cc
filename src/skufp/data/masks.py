"""Garment masks, drawn from an item's polygons and cut like its crop."""

from typing import Any

import cv2
import numpy as np
from PIL import Image

REACH = 1e5  # pixels; larger coordinates are in no photo, and fillPoly would take seconds for a single polygon


def draw_mask(polygons: Any, size: tuple[int, int]) -> tuple[Image.Image | None, str]:
    """Fill ``polygons`` in an image of ``size`` (width, height): "L", 255 on the garment, None if none is usable.

    ``polygons`` is DeepFashion2's `segmentation`: a list of [x1, y1, x2, y2, ...] in pixels; the garment is their
    union, outlines included. The second value counts the unusable polygons in words; empty where all were used.
    """
    outlines = polygons if isinstance(polygons, list) else [polygons]
    usable = [points for outline in outlines if (points := _points(outline)) is not None]
    unused = len(outlines) - len(usable)
    detail = f"{unused} of {len(outlines)} polygons cannot be used" if unused else ""
    if not usable:
        return None, detail
    mask = np.zeros((size[1], size[0]), np.uint8)
    for points in usable:  # one by one: filled together, parts that overlap would cancel out
        cv2.fillPoly(mask, [points], 255)
    return Image.fromarray(mask), detail


def _points(outline: Any) -> np.ndarray | None:
    """Return a polygon's points [N, 2] int32; None unless it is at least three pairs of finite numbers."""
    try:
        flat = np.asarray(outline)
    except ValueError:  # ragged
        return None
    if flat.ndim != 1 or flat.dtype.kind not in "iuf" or flat.size < 6 or flat.size % 2:
        return None
    if not (np.abs(flat) < REACH).all():  # nan is not less either
        return None
    return flat.reshape(-1, 2).round().astype(np.int32)


def crop_mask(mask: Image.Image, region: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image | None:
    """Crop ``region`` (x1, y1, x2, y2) and shrink it to ``size``: a mask of one bit per pixel, None if it is empty.

    A pixel belongs to the garment where at least half of its area does.
    """
    part = mask.crop(region).resize(size, Image.Resampling.BOX).convert("1", dither=Image.Dither.NONE)
    return part if part.getbbox() else None
