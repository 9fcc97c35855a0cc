"""A whole garment as shapes in drawing order: trunk, seams, furnishing, sleeves."""

from __future__ import annotations

import numpy as np

from .cuts import DRESSES, OUTWEAR, SLINGS, Cut
from .furnishing import back_collar, button_row, closure_shapes, front_collar, on_surface, pocket_shapes
from .garments import (
    CROTCH,
    WAIST,
    Pose,
    Shape,
    box,
    half_width,
    hem_edge,
    is_lower,
    line,
    neckline,
    silhouette,
    sleeve,
    tube,
)


def _edges(cut: Cut, pose: Pose) -> list[Shape]:
    """Bands along the neckline and the hem, in the second colour when the cut is trimmed."""
    squeeze = np.array([pose.narrowing, 1.0])
    shapes = []
    tone, width = ("second", 0.045) if cut.trim == "edges" else ("shade", 0.014)
    if not is_lower(cut) and cut.collar in ("none",):
        shapes.append(Shape(neckline(cut, pose.back) * squeeze + (0, 0.5 * width), tone, width=width))
    if cut.category not in {7, 8}:
        edge = hem_edge(cut) * squeeze
        shapes.append(Shape(edge - (0, 0.5 * width if tone == "second" else 0.04), tone, width=width))
    return shapes


def _lower_details(cut: Cut, pose: Pose) -> list[Shape]:
    squeeze, top = np.array([pose.narrowing, 1.0]), WAIST
    band = box(-cut.waist, top, 2 * cut.waist, 0.09) * squeeze
    shapes = [Shape(band, "second", True) if cut.trim == "edges" else Shape(band[2:4], "shade", width=0.016)]
    if cut.category in {7, 8}:
        outline = silhouette(cut, pose)
        right = outline[4:6]  # the hem of the right leg in the picture
        shapes.append(Shape(line(0, top + 0.09, 0, CROTCH), "shade", width=0.014))
        cuff = 0.08 if cut.detail == "cuff" else 0.03
        for side in (-1.0, 1.0):
            edge = right * (side, 1.0) - (0, 0.5 * cuff)
            shapes.append(
                Shape(
                    edge,
                    "second" if cut.detail == "cuff" else "shade",
                    width=cuff if cut.detail == "cuff" else 0.012,
                )
            )
            if cut.detail in ("crease", "sidestripe"):
                middle = 0.5 * (right[0] + right[1]) if cut.detail == "crease" else right[0] - (0.035, 0)
                start = np.array([0.22, 1.25]) if cut.detail == "crease" else outline[2] - (0.035, 0)
                path = np.stack([start, middle]) if cut.detail == "crease" else outline[1:5] - (0.035, 0)
                crease = cut.detail == "crease"
                shapes.append(Shape(path * (side, 1), "shade" if crease else "second", width=0.014 if crease else 0.06))
        shapes.append(Shape(np.stack([outline[6], outline[6] + (0, -0.001)]), "shade", width=0.01))
    if cut.detail == "ripped" and not pose.back:
        knee = 0.5 * (CROTCH + cut.length)
        shapes += [Shape(box(s * 0.24 - 0.07, knee - 0.1 * s, 0.14, 0.05), "skin") for s in (-1, 1)]
    if cut.detail == "drawstring" and not pose.back:
        shapes += [Shape(line(0, top + 0.05, s * 0.05, top + 0.3), "metal", width=0.02) for s in (-1, 1)]
    return shapes


def _skirt_lines(cut: Cut, pose: Pose) -> list[Shape]:
    """Pleats, tiers, belt, waist seam and slit of skirts, dresses and coats."""
    squeeze, half = np.array([pose.narrowing, 1.0]), half_width(cut, cut.length)
    start = half_width(cut, WAIST) if cut.length > WAIST else cut.waist
    shapes: list[Shape] = []
    if cut.detail == "pleats":
        shapes = [
            Shape(np.array([[t * start, WAIST + 0.09], [t * half, cut.length]]) * squeeze, "shade", width=0.02)
            for t in np.linspace(-0.85, 0.85, 9)
        ]
    elif cut.detail == "tiers":
        low = WAIST if cut.category in DRESSES else WAIST + 0.2
        for y in np.linspace(low, cut.length, 4)[:-1]:
            t = np.linspace(-1, 1, 25)
            wave = np.stack([half_width(cut, float(y)) * t, y + 0.018 * np.cos(8 * np.pi * t)], 1)
            shapes.append(Shape(wave * squeeze, "shade", width=0.032))
    elif cut.detail in ("belt", "waistseam", "peplum"):
        y = WAIST - (0.1 if cut.detail == "peplum" else 0.03)
        w = half_width(cut, y) * pose.narrowing
        belt = cut.detail == "belt"
        shapes.append(Shape(line(-w, y, w, y), "third" if belt else "shade", width=0.1 if belt else 0.022))
        if belt and not pose.back:
            shapes.append(Shape(on_surface(box(-0.05, y - 0.05, 0.1, 0.1), cut, pose), "metal"))
    elif cut.detail == "slit" and not pose.back:
        slit = np.array([[0.18, cut.length - 0.5], [0.25, cut.length + 0.1], [0.13, cut.length + 0.1]])
        shapes.append(Shape(on_surface(slit, cut, pose), "skin"))
    elif cut.detail == "frontbuttons" and not pose.back:
        shapes += [
            Shape(on_surface(s.points, cut, pose), s.tone)
            for s in button_row(0, WAIST + 0.12, cut.length, 0.16, "metal")
        ]
    return shapes


def garment_shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """All shapes of a garment in drawing order; front details are missing from the back."""
    lower, shapes = is_lower(cut), []
    if not lower and not pose.worn and not pose.back:
        behind = np.concatenate([neckline(cut, True), box(-cut.neck_width, 0.45, 2 * cut.neck_width, 0.1)[[2, 3]]])
        if cut.category not in SLINGS:
            shapes.append(Shape(behind, "inner", True))
    if cut.category in SLINGS:
        x = cut.neck_width * 0.95
        ends = neckline(cut, pose.back)
        for side in (-1, 1):
            top = ends[0 if side < 0 else -1] * (0.8, 1.0)
            strap = np.array([[side * x, 0.0 if pose.worn else 0.04], top]) * (pose.narrowing, 1)
            shapes.append(Shape(tube(np.stack([strap[0], strap.mean(0), strap[1]]), (0.022,) * 3), "fabric", True))
    shapes.append(Shape(silhouette(cut, pose), "fabric", True))
    shapes += _lower_details(cut, pose) if lower else []
    shapes += _skirt_lines(cut, pose) if cut.category not in {7, 8} else []
    if not pose.back:
        front = closure_shapes(cut) if not lower else []
        if cut.closure == "fly":
            front.append(Shape(np.array([[0.0, WAIST + 0.09], [0.07, 1.2], [0.0, 1.36]]), "shade", width=0.014))
        front += pocket_shapes(cut)
        shapes += [Shape(on_surface(s.points, cut, pose), s.tone, s.solid, s.angle, s.width) for s in front]
    elif cut.category in OUTWEAR or cut.collar == "shirt":
        shapes.append(Shape(line(-0.36, 0.3, 0.36, 0.3) * (pose.narrowing, 1), "shade", width=0.014))
    shapes += _edges(cut, pose)
    return shapes


def collar_shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Collar or hood, drawn after the neck of the wearer."""
    if is_lower(cut):
        return []
    shapes = back_collar(cut) if pose.back else front_collar(cut)
    return [Shape(s.points * (pose.narrowing, 1), s.tone, s.solid, s.angle, s.width) for s in shapes]


def sleeve_shapes(cut: Cut, pose: Pose) -> list[Shape]:
    """Sleeves, without the far one when seen from the side."""
    if cut.sleeve_length == 0:
        return []
    sides = (1,) if pose.yaw > 50 else (-1, 1)
    return [shape for side in sides for shape in sleeve(cut, side, pose)]
