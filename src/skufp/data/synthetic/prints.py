"""Fabric tiles and front graphics, drawn once per style and cached per process."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from .colours import RGB, Colours
from .cuts import Graphic, Print

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
TILE = 192
TILE_PER_UNIT = 150.0
PATCH = 96


def _grid() -> tuple[Field, Field]:
    axis = (np.arange(TILE, dtype=np.float32) + 0.5) / TILE
    return np.meshgrid(axis, axis)


def periodic_noise(rng: np.random.Generator, cells: int, size: int = TILE) -> Field:
    """Smooth noise that wraps around; (size, size), about -1..1."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    wrapped = np.pad(coarse, 2, mode="wrap")
    step = size // cells
    grown = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    inner = grown[2 * step : 2 * step + cells * step, 2 * step : 2 * step + cells * step]
    return cast(Field, cv2.resize(inner, (size, size)) if inner.shape[0] != size else inner)


def _mix(base: Field, colour: RGB, share: Field) -> Field:
    return base + (np.array(colour, np.float32) - base) * share[..., None]


def _soft(values: Field, edge: float = 0.06) -> Field:
    return np.clip(values / edge + 0.5, 0.0, 1.0)


def _stripes(base: Field, spec: Print, colours: Colours) -> Field:
    _, v = _grid()
    phase = (v * spec.repeats) % 1.0
    base = _mix(base, colours.second, _soft(spec.duty * 0.5 - np.abs(phase - 0.5)))
    if spec.seed % 3 == 0:
        base = _mix(base, colours.third, _soft(0.06 - np.abs(phase - 0.06)))
    return base


def _checks(base: Field, spec: Print, colours: Colours) -> Field:
    u, v = _grid()
    bands = [_soft(spec.duty * 0.5 - np.abs((axis * spec.repeats) % 1.0 - 0.5)) for axis in (u, v)]
    base = _mix(_mix(base, colours.second, 0.55 * bands[0]), colours.second, 0.55 * bands[1])
    if spec.seed % 2 == 0:
        for axis in (u, v):
            base = _mix(base, colours.third, 0.8 * _soft(0.05 - np.abs((axis * spec.repeats) % 1.0 - 0.06)))
    return base


def _dots(base: Field, spec: Print, colours: Colours) -> Field:
    u, v = _grid()
    repeats = spec.repeats + spec.repeats % 2
    row = np.floor(v * repeats)
    across = (u * repeats + 0.5 * (row % 2)) % 1.0 - 0.5
    radius = np.hypot(across, (v * repeats) % 1.0 - 0.5)
    return _mix(base, colours.second, _soft(0.12 + 0.4 * spec.duty - radius, 0.1))


def _zigzag(base: Field, spec: Print, colours: Colours) -> Field:
    u, v = _grid()
    wave = np.abs((u * spec.repeats) % 1.0 - 0.5)
    phase = (v * spec.repeats + wave) % 1.0
    return _mix(base, colours.second, _soft(spec.duty * 0.5 - np.abs(phase - 0.5), 0.1))


def _flower(centre: NDArray[np.float64], radius: float, turn: float) -> NDArray[np.int32]:
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    reach = radius * (0.65 + 0.35 * np.cos(5 * angle + turn))
    outline = centre + np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1)
    return np.round(outline * 16).astype(np.int32)


def _floral(base: Field, spec: Print, colours: Colours) -> Field:
    rng = np.random.default_rng(spec.seed)
    count, radius = 6 + 3 * spec.repeats, TILE * (0.34 / np.sqrt(6 + 3 * spec.repeats))
    canvas = base.astype(np.uint8)
    for number in range(count):
        centre, turn = rng.uniform(0, TILE, 2), float(rng.uniform(0, 6))
        tone = colours.second if number % 3 else colours.third
        for shift in np.ndindex(3, 3):
            moved = centre + (np.array(shift) - 1) * TILE
            if np.all(moved > -radius) and np.all(moved < TILE + radius):
                cv2.fillPoly(canvas, [_flower(moved, radius, turn)], tone, cv2.LINE_AA, 4)
                eye = colours.third if number % 3 else colours.main
                spot = (int(moved[0] * 16), int(moved[1] * 16))
                cv2.circle(canvas, spot, int(radius * 4), eye, -1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32)


def _camouflage(base: Field, spec: Print, colours: Colours) -> Field:
    rng = np.random.default_rng(spec.seed)
    cells = (4, 6, 8, 12)[spec.repeats % 4]
    base = _mix(base, colours.second, _soft(periodic_noise(rng, cells) - 0.3, 0.15))
    return _mix(base, colours.third, _soft(periodic_noise(rng, cells) - 0.6, 0.15))


def _heather(base: Field, spec: Print, colours: Colours) -> Field:
    rng = np.random.default_rng(spec.seed)
    speckle = cv2.blur(rng.random((TILE, TILE), dtype=np.float32), (5, 1), borderType=cv2.BORDER_REFLECT)
    return _mix(base, colours.second, 0.8 * _soft(speckle - 0.58, 0.15))


_DRAW = {"striped": _stripes, "checked": _checks, "dotted": _dots, "zigzag": _zigzag, "floral": _floral,
         "camouflage": _camouflage, "heather": _heather}  # fmt: skip


@lru_cache(maxsize=48)
def fabric(spec: Print, colours: Colours) -> Image:
    """Wrap-around fabric tile of a style; (TILE, TILE, 3) RGB, TILE_PER_UNIT pixels to a body unit."""
    base = np.empty((TILE, TILE, 3), np.float32)
    base[:] = colours.main
    if spec.pattern in _DRAW:
        base = _DRAW[spec.pattern](base, spec, colours)
    rng = np.random.default_rng(spec.seed)
    weave = 3.0 * rng.standard_normal((TILE, TILE, 1), dtype=np.float32)
    return np.clip(base + weave, 0, 255).astype(np.uint8)


def _polygon(kind: str) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    if kind == "star":
        reach = np.where(np.arange(60) % 12 < 1, 1.0, 0.0)
        peaks = np.interp(np.arange(60), np.arange(0, 61, 6), np.tile([1.0, 0.42], 6)[:11])
        reach = np.maximum(reach, peaks)
        return np.stack([reach * np.sin(angle), -reach * np.cos(angle)], 1)
    if kind == "heart":
        x = np.sin(angle) ** 3
        y = -(13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)) / 16
        return np.stack([x, y], 1)
    if kind == "diamond":
        return np.array([[0, -1], [0.75, 0], [0, 1], [-0.75, 0]], float)
    if kind == "peaks":
        return np.array([[-1, 0.7], [-0.35, -0.8], [0.05, 0.1], [0.4, -0.4], [1, 0.7]], float)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def _letters(mask: Image, text: str, height: int, middle: int, tone: int) -> None:
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 3)
    size = min(0.9 * PATCH / max(width, 1), height / max(tall, 1))
    left, base = int(PATCH / 2 - width * size / 2), int(middle + tall * size / 2)
    cv2.putText(mask, text, (left, base), cv2.FONT_HERSHEY_DUPLEX, size, tone, max(3, int(4 * size)), cv2.LINE_AA)


@lru_cache(maxsize=48)
def graphic_masks(graphic: Graphic) -> tuple[Image, Image]:
    """Coverage of a graphic's first and second colour; two (PATCH, PATCH) arrays, 0..255."""
    first, second = np.zeros((PATCH, PATCH), np.uint8), np.zeros((PATCH, PATCH), np.uint8)
    centre, reach = PATCH / 2, PATCH * 0.46
    if graphic.kind == "letters":
        _letters(first, graphic.text, int(PATCH * 0.6), PATCH // 2, 255)
        return first, second
    if graphic.kind == "bars":
        for row in range(3):
            width = int(reach * (0.5 + 0.5 * ((ord(graphic.text[0]) * (row + 3)) % 7) / 7))
            target = second if row == 1 else first
            top = 12 + 26 * row
            cv2.rectangle(target, (int(centre) - width, top), (int(centre) + width, top + 16), 255, -1)
        return first, second
    outline = np.round((_polygon(graphic.kind) * reach + centre) * 16).astype(np.int32)
    cv2.fillPoly(first, [outline], 255, cv2.LINE_AA, 4)
    if graphic.kind == "ring":
        cv2.circle(first, (PATCH // 2, PATCH // 2), int(reach * 0.62), 0, -1, cv2.LINE_AA)
    else:
        _letters(second, graphic.text, PATCH // 4, PATCH // 2 + 4, 255)
    return first, second
