"""Furnishing of a garment: closure, pockets and collar, front and back."""

from __future__ import annotations

import numpy as np

from .cuts import SLINGS, Cut
from .garments import Points, Pose, Shape, arc, box, dot, is_lower, line


def on_surface(points: Points, cut: Cut, pose: Pose) -> Points:
    """Move front details to where the yaw puts them on the trunk."""
    turn = np.radians(pose.yaw)
    half = cut.chest if not is_lower(cut) else 0.38
    return points * (np.cos(turn), 1.0) + (0.52 * half * np.sin(turn), 0.0)


def button_row(x: float, top: float, bottom: float, step: float, tone: str) -> list[Shape]:
    """Buttons along a vertical line."""
    return [Shape(dot(x, float(y), 0.02), tone) for y in np.arange(top, bottom, step)]


def closure_shapes(cut: Cut) -> list[Shape]:
    """Zip, buttons, placket or open front, unturned."""
    top, bottom = cut.neck_depth, cut.length - 0.04
    if cut.category in SLINGS:
        top = 0.34
    tone = "second" if cut.trim == "edges" else "metal"
    if cut.closure == "open":
        wedge = np.array([[-0.06, top * 0.3], [0.06, top * 0.3], [0.17, cut.length + 0.1], [-0.13, cut.length + 0.1]])
        return [
            Shape(wedge, "plain"),
            Shape(wedge[1:3], "shade", width=0.02),
            Shape(wedge[[0, 3]], "shade", width=0.02),
        ]
    if cut.closure == "zip":
        return [
            Shape(line(0, top, 0, bottom), "shade", width=0.045),
            Shape(line(0, top, 0, bottom), "metal", width=0.018),
        ]
    if cut.closure == "buttons":
        return [
            Shape(line(0.05, top, 0.05, bottom), "shade", width=0.014),
            *button_row(0.0, top + 0.07, bottom, 0.16, tone),
        ]
    if cut.closure == "placket":
        flap = box(-0.04, top, 0.08, 0.26)
        return [
            Shape(
                flap,
                "second" if cut.trim == "edges" else "shade",
                width=0.0 if cut.trim == "edges" else 0.014,
            ),
            *button_row(0.0, top + 0.06, top + 0.26, 0.09, "metal"),
        ]
    return []


def pocket_shapes(cut: Cut) -> list[Shape]:
    """Pockets, unturned."""
    if cut.pockets == "chest":
        patch = box(0.1, 0.5, 0.18, 0.2)
        return (
            [Shape(patch, "second")]
            if cut.trim == "edges"
            else [Shape(np.vstack([patch, patch[:1]]), "shade", width=0.016)]
        )
    if cut.pockets == "kangaroo":
        pouch = np.array([[-0.14, 0.86], [0.14, 0.86], [0.25, 1.08], [-0.25, 1.08], [-0.14, 0.86]])
        return [Shape(pouch, "shade", width=0.018)]
    top = 1.12 if is_lower(cut) else max(cut.length - 0.42, 0.8)
    if cut.pockets == "patch":
        boxes = [box(x, top, 0.18, 0.2) for x in (-0.31, 0.13)]
        return [Shape(np.vstack([b, b[:1]]), "shade", width=0.02) for b in boxes]
    if cut.pockets in ("slant", "welt"):
        return [Shape(line(s * 0.2, top - 0.08, s * 0.34, top + 0.1), "shade", width=0.022) for s in (-1, 1)]
    return []


def front_collar(cut: Cut) -> list[Shape]:
    """Collar, hood or lapels from the front."""
    width, depth = cut.neck_width, cut.neck_depth
    tone = "second" if cut.trim == "edges" else "fabric"
    if cut.collar in ("shirt", "polo"):
        leaf = np.array([[-width, -0.05], [0.0, depth], [-0.1, depth + 0.1], [-width - 0.06, 0.06]])
        pair = [leaf, leaf * (-1, 1)]
        return [Shape(p, tone, True, 30.0) for p in pair] + [
            Shape(np.vstack([p, p[:1]]), "shade", width=0.012) for p in pair
        ]
    if cut.collar == "lapel":
        leaf = np.array([[-width, -0.05], [0.0, depth + 0.05], [-0.2, depth * 0.75], [-width - 0.1, 0.14]])
        pair = [leaf, leaf * (-1, 1)]
        return [Shape(p, tone, True, 25.0) for p in pair] + [
            Shape(np.vstack([p, p[:1]]), "shade", width=0.014) for p in pair
        ]
    if cut.collar == "stand":
        edge = arc(width, depth)
        band = np.concatenate([edge, (edge - (0, 0.09))[::-1] * (1.0, 1.0)])
        return [Shape(band, tone, True), Shape(edge, "shade", width=0.014)]
    if cut.collar == "hood":
        loop = arc(width + 0.1, depth + 0.1) - (0, 0.08)
        return [
            Shape(np.concatenate([loop, (arc(width - 0.02, depth) - (0, 0.06))[::-1]]), tone, True, 40.0),
            Shape(loop, "shade", width=0.014),
            *[Shape(line(s * 0.06, depth, s * 0.07, depth + 0.26), "second", width=0.018) for s in (-1, 1)],
        ]
    return []


def back_collar(cut: Cut) -> list[Shape]:
    """Collar or hood from behind."""
    tone = "second" if cut.trim == "edges" else "fabric"
    if cut.collar == "hood":
        bag = np.array([[-0.26, -0.06], [0.26, -0.06], [0.22, 0.26], [0.0, 0.36], [-0.22, 0.26]])
        return [Shape(bag, tone, True, 15.0), Shape(np.vstack([bag, bag[:1]]), "shade", width=0.016)]
    if cut.collar != "none":
        band = box(-cut.neck_width - 0.03, -0.06, 2 * cut.neck_width + 0.06, 0.13)
        return [Shape(band, tone, True), Shape(band[2:4], "shade", width=0.014)]
    return []
