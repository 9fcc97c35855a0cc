"""Palette of named garment colours and the colours of one style."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "black": (28, 28, 31), "white": (238, 238, 234), "grey": (140, 142, 146), "charcoal": (72, 74, 80),
    "navy": (30, 40, 84), "blue": (46, 92, 176), "sky": (142, 188, 226), "denim": (82, 112, 150),
    "red": (186, 34, 42), "burgundy": (104, 26, 44), "pink": (234, 164, 184), "fuchsia": (206, 48, 128),
    "orange": (224, 118, 42), "mustard": (204, 158, 44), "yellow": (240, 216, 92), "beige": (212, 192, 160),
    "brown": (110, 74, 50), "olive": (104, 106, 60), "green": (44, 124, 76), "mint": (162, 214, 190),
    "teal": (30, 118, 126), "lilac": (182, 162, 212), "purple": (98, 56, 132), "coral": (236, 118, 102),
}  # fmt: skip
NAMES = tuple(PALETTE)
_RGB = np.array([PALETTE[name] for name in NAMES], float)
_COMMON = {"black": 2.0, "white": 2.0, "grey": 1.5, "navy": 1.5, "blue": 1.0, "beige": 1.2, "red": 1.0}
_FAME = np.array([_COMMON.get(name, 0.0) for name in NAMES])
SKIN: tuple[RGB, ...] = ((242, 206, 180), (224, 182, 150), (196, 148, 112), (150, 104, 74), (98, 66, 48))
HAIR: tuple[RGB, ...] = ((32, 26, 24), (66, 44, 30), (112, 76, 44), (180, 144, 86), (120, 118, 116))


@dataclass(frozen=True)
class Colours:
    """The three colours of a style: names from the palette and the exact RGB drawn."""

    names: tuple[str, str, str]
    main: RGB
    second: RGB
    third: RGB


def _pick(rng: np.random.Generator, apart_from: list[str], at_least: float, fame: float) -> str:
    weights = 1.0 + fame * _FAME
    for name in apart_from:
        weights = weights * (np.linalg.norm(_RGB - _RGB[NAMES.index(name)], axis=1) >= at_least)
    return NAMES[int(rng.choice(len(NAMES), p=weights / weights.sum()))]


def pick_colours(rng: np.random.Generator, taken: list[str], jitter: float, fame: float) -> Colours:
    """Draw a style's colours; its main colour is none of `taken` (the siblings' main colours).

    fame: how much more frequent the common colours (black, white, navy, ...) are; 0 for equal shares.
    """
    main = _pick(rng, taken, 30.0, fame)
    second = _pick(rng, [main], 90.0, fame)
    third = _pick(rng, [main, second], 60.0, 0.0)
    names = (main, second, third)
    rgb = [[int(v) for v in np.clip(rng.normal(PALETTE[n], jitter), 8, 247)] for n in names]
    (r1, g1, b1), (r2, g2, b2), (r3, g3, b3) = rgb
    return Colours(names, (r1, g1, b1), (r2, g2, b2), (r3, g3, b3))
