"""The person or mannequin in the photo, and the clothes that carry no label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import HAIR, NAMES, PALETTE, RGB, SKIN
from .garments import Pose, Shape, arm_joints, box, dot, tube


@dataclass(frozen=True)
class Wearer:
    """Colours that belong to the photo and not to the garment."""

    skin: RGB
    hair: RGB
    plain: RGB
    lower: RGB
    long_hair: bool


def pick_wearer(rng: np.random.Generator, mannequin: bool) -> Wearer:
    """Draw a wearer; a mannequin has one neutral tone for skin and hair."""
    plain, lower = (PALETTE[NAMES[int(k)]] for k in rng.integers(0, len(NAMES), 2))
    skin, hair = SKIN[int(rng.integers(len(SKIN)))], HAIR[int(rng.integers(len(HAIR)))]
    long_hair = bool(rng.random() < 0.5)
    if mannequin:
        return Wearer((214, 208, 200), (206, 200, 192), (236, 236, 234), (196, 196, 198), False)
    return Wearer(skin, hair, plain, lower, long_hair)


def limbs(shoulder: float, pose: Pose) -> list[Shape]:
    """Bare arms with hands."""
    shapes = []
    for side in (1,) if pose.yaw > 50 else (-1, 1):
        joints = arm_joints(shoulder, side, pose, 1.2)
        shapes.append(Shape(tube(joints, (0.085, 0.07, 0.055)), "skin"))
        shapes.append(Shape(dot(float(joints[2, 0]), float(joints[2, 1]), 0.07), "skin"))
    return shapes


def lower_body(pose: Pose) -> list[Shape]:
    """Bare legs and shoes."""
    shapes = []
    for side in (-1, 1):
        foot = side * (0.2 + 1.5 * np.sin(np.radians(pose.legs)))
        joints = np.array([[side * 0.2, 1.4], [0.5 * (side * 0.2 + foot), 2.25], [foot, 3.1]]) * (
            pose.narrowing,
            1,
        )
        shapes.append(Shape(tube(joints, (0.17, 0.11, 0.07)), "skin"))
        shapes.append(Shape(box(joints[2, 0] - 0.09, 3.08, 0.2, 0.13), "hair"))
    return shapes


def trunk_skin(pose: Pose) -> list[Shape]:
    """Neck, shoulders and chest."""
    chest = np.array([[-0.12, -0.2], [0.12, -0.2], [0.13, 0.0], [0.42, 0.1], [0.4, 0.45], [0.33, 0.98], [0.38, 1.4]])
    outline = np.concatenate([chest, chest[::-1][:-2] * (-1, 1)])
    return [Shape(outline * (pose.narrowing, 1), "skin")]


def head(pose: Pose, long_hair: bool) -> list[Shape]:
    """Head and hair; from behind only hair shows."""
    t = np.linspace(0, 2 * np.pi, 25)[:-1]
    face = np.stack([0.19 * np.cos(t), -0.4 + 0.25 * np.sin(t)], 1)
    crown = np.stack([0.22 * np.cos(t), -0.47 + 0.22 * np.sin(t)], 1)
    if pose.back:
        tail = box(-0.2, -0.45, 0.4, 0.6 if long_hair else 0.3)
        return [Shape(crown, "hair"), Shape(tail, "hair")]
    fringe = np.stack([0.215 * np.cos(t), np.minimum(-0.44 + 0.24 * np.sin(t), -0.52)], 1)
    shapes = [Shape(face, "skin"), Shape(fringe, "hair")]
    if long_hair:
        shapes += [
            Shape(
                tube(np.array([[s * 0.19, -0.5], [s * 0.22, -0.2], [s * 0.21, 0.12]]), (0.06, 0.06, 0.03)),
                "hair",
            )
            for s in (-1, 1)
        ]
    return shapes


def plain_lower(pose: Pose) -> Shape:
    """Unlabelled trousers."""
    right = np.array([[0.33, 0.95], [0.42, 1.35], [0.34, 3.0], [0.08, 3.0], [0.0, 1.6]])
    outline = np.concatenate([right, right[:-1][::-1] * (-1, 1)])
    return Shape(outline * (pose.narrowing, 1), "lower")


def plain_upper(pose: Pose) -> Shape:
    """Unlabelled top."""
    right = np.array([[0.0, 0.1], [0.15, 0.0], [0.44, 0.1], [0.4, 0.46], [0.34, 1.02]])
    outline = np.concatenate([right, right[1:][::-1] * (-1, 1)])
    return Shape(outline * (pose.narrowing, 1), "plain")
