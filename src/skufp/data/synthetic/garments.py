"""Outlines of the 13 categories: a cut and a pose become polygons and strokes in body units.

Body frame: x to the image right, y down, neck base at (0, 0), waist y = 0.98, crotch 1.58, ankle 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cuts import DRESSES, LOWER, SLINGS, Cut

Points = NDArray[np.float64]
WAIST, CROTCH, KNEE = 0.98, 1.58, 2.3
ARMPIT = 0.46


@dataclass(frozen=True)
class Pose:
    """How the wearer or the laid garment is seen: arm, bend, leg and yaw angles in degrees."""

    arms: tuple[float, float] = (14.0, 14.0)
    bends: tuple[float, float] = (0.0, 0.0)
    legs: float = 0.0
    yaw: float = 0.0
    back: bool = False
    worn: bool = True

    @property
    def narrowing(self) -> float:
        """Factor on a trunk's width at this yaw."""
        turn = np.radians(self.yaw)
        return float(np.hypot(np.cos(turn), 0.6 * np.sin(turn)))


@dataclass(frozen=True)
class Shape:
    """A polygon (width 0) or a stroke of `width` body units; `solid` shapes make up the silhouette.

    tone: fabric, second, third, inner, plain, shade, metal, skin, hair or lower.
    angle: rotation of the fabric, degrees.
    """

    points: Points
    tone: str
    solid: bool = False
    angle: float = 0.0
    width: float = 0.0


def arc(width: float, depth: float, power: float = 1.0, count: int = 13) -> Points:
    """Half-ellipse hanging from (-width, 0) to (width, 0)."""
    t = np.linspace(np.pi, 0.0, count)
    return np.stack([width * np.cos(t), depth * np.sin(t) ** power], 1)


def box(x: float, y: float, width: float, height: float) -> Points:
    """Rectangle from its upper left corner; (4, 2)."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)


def line(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Segment; (2, 2)."""
    return np.array([[x0, y0], [x1, y1]], float)


def dot(x: float, y: float, radius: float) -> Points:
    """Octagon around (x, y); (8, 2)."""
    t = np.linspace(0, 2 * np.pi, 9)[:-1]
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1)


def neckline(cut: Cut, back: bool) -> Points:
    """Neck edge from the wearer's left to right in the picture, (n, 2)."""
    width, depth = cut.neck_width, cut.neck_depth
    if cut.category in SLINGS:
        edge, top = cut.chest * 0.82, 0.3
        if back or cut.neckline == "straight":
            return np.array([[-edge, top], [0.0, top + (cut.back_depth if back else 0.02)], [edge, top]])
        if cut.neckline == "v":
            return np.array([[-edge, top - 0.04], [0.0, top + 1.6 * depth], [edge, top - 0.04]])
        t = np.linspace(-1.0, 1.0, 17)
        return np.stack([edge * t, top + depth - (depth + 0.06) * np.abs(np.sin(np.pi * t)) * (1 - 0.3 * t**2)], 1)
    if back:
        return arc(width, cut.back_depth)
    if cut.neckline == "v":
        return np.array([[-width, 0.0], [0.0, depth], [width, 0.0]])
    if cut.neckline == "square":
        return np.array([[-width, 0.0], [-0.94 * width, depth], [0.94 * width, depth], [width, 0.0]])
    return arc(width, depth, 0.75 if cut.neckline == "scoop" else 1.0)


def _widths(cut: Cut) -> tuple[list[float], list[float]]:
    """Control heights and half-widths of the trunk below the armpit (or the waist)."""
    if cut.category == 9:
        hip = max(0.42, 0.5 * (cut.waist + cut.hem_width))
        return [WAIST, min(1.36, cut.length - 0.1), cut.length], [cut.waist, hip, cut.hem_width]
    if cut.category in DRESSES:
        waist = cut.waist - 0.03 if cut.detail in ("belt", "waistseam") else cut.waist
        flare = waist + (cut.hem_width - waist) * 0.45
        return [ARMPIT, WAIST, 1.4, cut.length], [cut.chest, waist, max(flare, 0.36), cut.hem_width]
    drop = float(np.clip((cut.length - WAIST) / 0.4, 0.05, 1.0))
    flare = cut.waist + (cut.hem_width - cut.waist) * drop + (0.1 if cut.detail == "peplum" else 0.0)
    return [ARMPIT, max(WAIST - 0.1, 0.8), cut.length], [cut.chest, cut.waist, flare]


def half_width(cut: Cut, y: float) -> float:
    """Half-width of the trunk at height y."""
    heights, widths = _widths(cut)
    return float(np.interp(y, heights, widths))


def hem_edge(cut: Cut) -> Points:
    """Lower edge from right to left, (n, 2)."""
    half = half_width(cut, cut.length)
    t = np.linspace(1.0, -1.0, 13)
    depth = {"curved": 0.1, "straight": 0.025, "asymmetric": 0.02}[cut.hem]
    drop = depth * (1 - t**2) + (0.1 * (t + 1) if cut.hem == "asymmetric" else 0.0)
    if cut.detail in ("tiers", "peplum"):
        drop = drop + 0.02 * np.cos(9 * np.pi * t)
    return np.stack([half * t, cut.length + drop], 1)


def _flank(cut: Cut, top: float) -> Points:
    heights = np.linspace(top, cut.length, 12)
    return np.array([[half_width(cut, float(y)), y] for y in heights])


def trunk(cut: Cut, back: bool) -> Points:
    """Closed outline of the body part of tops, outwear, dresses and skirts."""
    if cut.category == 9:
        right = _flank(cut, WAIST)
        return np.concatenate([right, hem_edge(cut), right[::-1] * (-1, 1)])
    edge, right = neckline(cut, back), _flank(cut, ARMPIT)
    if cut.sleeve_length > 0:
        shoulder = np.array([[cut.shoulder, 0.1], [cut.shoulder + 0.01, 0.2]])
    elif cut.category in SLINGS:
        shoulder = np.array([[cut.chest * 0.9, 0.38]])
    else:
        outer = min(cut.neck_width + 0.13, cut.shoulder - 0.04)
        shoulder = np.array([[outer, 0.05], [outer - 0.01, 0.2], [0.5 * (outer + cut.chest), 0.38]])
    side = np.concatenate([shoulder, right])
    return np.concatenate([edge, side, hem_edge(cut), side[::-1] * (-1, 1)])


def _direction(angle: float) -> Points:
    return np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])


def arm_joints(cut_shoulder: float, side: int, pose: Pose, reach: float) -> Points:
    """Shoulder, elbow and end of an arm or sleeve of length `reach`; (3, 2). side: -1 left, 1 right."""
    number = 0 if side < 0 else 1
    upper, lower = pose.arms[number], pose.arms[number] + pose.bends[number]
    swing = float(np.cos(np.radians(pose.yaw)))
    flip = np.array([side, 1.0])
    root = np.array([side * (cut_shoulder - 0.07) * swing, 0.2])
    elbow = root + min(reach, 0.58) * _direction(upper) * flip
    end = elbow + max(reach - 0.58, 0.0) * _direction(lower) * flip
    return np.stack([root, elbow, end])


def tube(joints: Points, halves: tuple[float, float, float]) -> Points:
    """Closed outline around a three-joint limb with half-widths at the joints."""
    along = np.diff(joints, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    if np.linalg.norm(joints[2] - joints[1]) < 1e-6:
        along[1] = along[0]
    tangents = np.stack([along[0], along[0] + along[1], along[1]])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], 1) * np.array(halves)[:, None]
    return np.concatenate([joints + normals, (joints - normals)[::-1]])


def sleeve(cut: Cut, side: int, pose: Pose) -> list[Shape]:
    """Sleeve and its cuff on one side of the picture."""
    joints = arm_joints(cut.shoulder, side, pose, cut.sleeve_length)
    middle = cut.sleeve_width * (1.25 if cut.sleeve_shape == "puff" else 0.5 + 0.5 * 0.9)
    if cut.sleeve_length <= 0.58:
        joints = np.stack([joints[0], 0.5 * (joints[0] + joints[1]), joints[1]])
    halves = (cut.sleeve_width * 1.12, middle, cut.cuff_width)
    outline = tube(joints, halves)
    # The cap closes the gap between the shoulder tip and the sleeve's first cross-section.
    cap = np.array([[side * (cut.shoulder - 0.02) * np.cos(np.radians(pose.yaw)), 0.085]])
    outline = np.concatenate([outline, cap])
    tone = "second" if cut.trim == "sleeves" else "fabric"
    shapes = [Shape(outline, tone, True, -side * pose.arms[0 if side < 0 else 1])]
    if cut.trim == "edges" or cut.collar == "shirt":
        reach = 0.12 if cut.sleeve_length < 0.58 else 0.06
        share = 1 - reach / max(float(np.linalg.norm(joints[2] - joints[1])), reach * 1.5)
        start = joints[1] + share * (joints[2] - joints[1])
        band = np.stack([start, 0.5 * (start + joints[2]), joints[2]])
        tone = "second" if cut.trim == "edges" else "fabric"
        shapes.append(Shape(tube(band, (cut.cuff_width * 1.02,) * 3), tone, True))
    end = tube(joints, halves)[2:4]
    shapes.append(Shape(end, "shade", width=0.014))
    return shapes


def legs(cut: Cut, pose: Pose) -> Points:
    """Closed outline of trousers or shorts."""
    spread = max(0.2, cut.hem_width + 0.02) + np.sin(np.radians(pose.legs)) * (cut.length - CROTCH)
    knee = 0.5 * (0.2 + spread)
    half, middle = cut.hem_width, 0.5 * (cut.hem_width + 0.2)
    bend = 0.5 * (CROTCH + cut.length)
    outer = np.array([[cut.waist, WAIST], [0.41, 1.2], [0.43, 1.4], [knee + middle, bend], [spread + half, cut.length]])
    inner = np.array([[max(spread - half, 0.015), cut.length], [max(knee - middle, 0.02), bend], [0.0, CROTCH]])
    right = np.concatenate([outer, inner])
    return np.concatenate([right, right[:-1][::-1] * (-1, 1)])


def silhouette(cut: Cut, pose: Pose) -> Points:
    """Main outline at the pose's yaw."""
    outline = legs(cut, pose) if cut.category in {7, 8} else trunk(cut, pose.back)
    return outline * (pose.narrowing, 1.0)


def is_lower(cut: Cut) -> bool:
    """Whether the garment hangs from the waist."""
    return cut.category in LOWER
