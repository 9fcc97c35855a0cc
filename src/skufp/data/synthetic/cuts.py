"""The cut of a garment: what all styles of a pair share, sampled per category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .params import CatalogueParams

CATEGORIES: dict[int, str] = {
    1: "short sleeve top", 2: "long sleeve top", 3: "short sleeve outwear", 4: "long sleeve outwear",
    5: "vest", 6: "sling", 7: "shorts", 8: "trousers", 9: "skirt", 10: "short sleeve dress",
    11: "long sleeve dress", 12: "vest dress", 13: "sling dress",
}  # fmt: skip
LANDMARK_COUNTS = {
    1: 25,
    2: 33,
    3: 31,
    4: 39,
    5: 15,
    6: 15,
    7: 10,
    8: 14,
    9: 8,
    10: 29,
    11: 37,
    12: 19,
    13: 19,
}
SHORT, LONG = {1, 3, 10}, {2, 4, 11}
SLINGS, OUTWEAR, DRESSES, LOWER = {6, 13}, {3, 4}, {10, 11, 12, 13}, {7, 8, 9}
PATTERNS = ("striped", "checked", "dotted", "floral", "camouflage", "zigzag", "heather")
GRAPHICS = ("disc", "star", "heart", "bars", "diamond", "peaks", "ring", "letters", "letters", "badge")


@dataclass(frozen=True)
class Print:
    """Base print: pattern kind, repeats per tile, angle in degrees, and the seed of its drawing."""

    pattern: str
    repeats: int
    angle: float
    duty: float
    seed: int


@dataclass(frozen=True)
class Graphic:
    """Front graphic: kind, text, centre x and y and size in body units."""

    kind: str
    text: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Cut:
    """Parametric outline of one garment, in body units (shoulder to waist is about 1, y points down)."""

    category: int
    neckline: str
    neck_width: float
    neck_depth: float
    back_depth: float
    shoulder: float
    chest: float
    waist: float
    hem_width: float
    length: float
    hem: str
    sleeve_length: float
    sleeve_width: float
    cuff_width: float
    sleeve_shape: str
    collar: str
    closure: str
    pockets: str
    detail: str
    trim: str
    block: str
    back_panel: bool
    print: Print
    graphic: Graphic | None


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _within(rng: np.random.Generator, low: float, high: float, spread: float) -> float:
    return 0.5 * (low + high) + spread * (float(rng.random()) - 0.5) * (high - low)


def _print(rng: np.random.Generator, plain_share: float) -> Print:
    pattern = "solid" if rng.random() < plain_share else _pick(rng, PATTERNS)
    angles = {"striped": (0.0, 0.0, 90.0, 45.0), "checked": (0.0, 0.0, 45.0)}.get(pattern, (0.0,))
    angle = float(angles[int(rng.integers(len(angles)))])
    repeats, duty = int(rng.integers(4, 13)), float(rng.uniform(0.25, 0.6))
    return Print(pattern, repeats, angle, duty, int(rng.integers(1 << 30)))


def _graphic(rng: np.random.Generator, category: int, share: float) -> Graphic | None:
    upper = category not in LOWER | OUTWEAR
    if not upper or rng.random() >= share:
        return None
    text = "".join(chr(int(c)) for c in rng.integers(65, 91, size=int(rng.integers(2, 4))))
    x = float(rng.choice([0.0, 0.0, 0.0, 0.16, -0.16]))
    size = float(rng.uniform(0.15, 0.2) if x else rng.uniform(0.28, 0.5))
    y = float(rng.uniform(0.42, 0.5) if x else rng.uniform(0.48, 0.68))
    return Graphic(_pick(rng, GRAPHICS), text, x, y, size)


def _lengths(category: int) -> tuple[float, float]:
    table = {3: (1.1, 1.5), 4: (1.05, 2.0), 7: (1.72, 2.15), 8: (2.6, 3.12), 9: (1.55, 2.75)}
    if category in DRESSES:
        return 1.75, 2.8
    return table.get(category, (0.95, 1.45))


def _sleeves(rng: np.random.Generator, category: int, spread: float) -> tuple[float, float, float, str]:
    if category in SHORT:
        shape = _pick(rng, ("straight", "straight", "puff", "bell"))
        length = _within(rng, 0.22, 0.55, spread)
    elif category in LONG:
        shape = _pick(rng, ("straight", "straight", "straight", "puff", "bell"))
        length = _within(rng, 0.92, 1.2, spread)
    else:
        return 0.0, 0.0, 0.0, "none"
    width = _within(rng, 0.12, 0.18, spread)
    cuff = {"straight": 0.82, "puff": 0.6, "bell": 1.55}[shape] * width
    return length, width, cuff * (0.75 if category in LONG else 1.0), shape


def _furnishing(rng: np.random.Generator, category: int) -> tuple[str, str, str, str]:
    """Collar, closure, pockets and the category's own detail."""
    if category in OUTWEAR:
        return (
            _pick(rng, ("lapel", "stand", "hood", "none")),
            _pick(rng, ("zip", "buttons", "open")),
            _pick(rng, ("patch", "chest", "none", "welt")),
            _pick(rng, ("none", "none", "belt")),
        )
    if category in LOWER:
        details = {7: ("cuff", "drawstring", "none"), 8: ("cuff", "crease", "sidestripe", "ripped", "none"),
                   9: ("pleats", "slit", "tiers", "frontbuttons", "none")}[category]  # fmt: skip
        return (
            "none",
            _pick(rng, ("fly", "none")),
            _pick(rng, ("slant", "patch", "none")),
            _pick(rng, details),
        )
    collar, closure = "none", _pick(rng, ("none", "none", "none", "placket"))
    if category in SHORT | LONG:
        collar = _pick(rng, ("none", "none", "none", "shirt", "polo", "hood" if category == 2 else "none"))
    if collar == "shirt":
        closure = "buttons"
    elif collar in ("polo", "hood"):
        closure = "placket" if collar == "polo" else "none"
    pockets = _pick(rng, ("none", "none", "chest", "kangaroo" if collar == "hood" else "none"))
    details = ("belt", "waistseam", "tiers", "none") if category in DRESSES else ("none", "none", "peplum")
    return collar, closure, pockets, _pick(rng, details)


def _neck(rng: np.random.Generator, category: int, collar: str, spread: float) -> tuple[str, float, float, float]:
    if category in SLINGS:
        return (_pick(rng, ("straight", "sweetheart", "v")), _within(rng, 0.2, 0.3, spread),
                _within(rng, 0.05, 0.14, spread), _within(rng, 0.0, 0.25, spread))  # fmt: skip
    if collar in ("shirt", "polo", "hood", "stand"):
        return "crew", 0.16, 0.1, 0.03
    if category in OUTWEAR:
        return "v", _within(rng, 0.15, 0.19, spread), _within(rng, 0.3, 0.6, spread), 0.04
    shape = _pick(rng, ("crew", "crew", "v", "scoop", "square", "boat"))
    width = {"boat": 0.3, "square": 0.25, "scoop": 0.23}.get(shape, 0.17)
    depth = {"crew": 0.11, "v": 0.36, "scoop": 0.3, "square": 0.25, "boat": 0.07}[shape]
    scale = _within(rng, 0.8, 1.2, spread)
    return shape, width, depth * scale, 0.04 + 0.08 * float(rng.random()) * spread


def sample_cut(rng: np.random.Generator, category: int, params: CatalogueParams) -> Cut:
    """Draw the cut of one garment of `category` (1..13)."""
    spread = params.cut_spread
    collar, closure, pockets, detail = _furnishing(rng, category)
    neckline, neck_width, neck_depth, back_depth = _neck(rng, category, collar, spread)
    sleeve_length, sleeve_width, cuff, shape = _sleeves(rng, category, spread)
    fitted = float(rng.random())
    chest = 0.38 + 0.1 * fitted * spread + (0.04 if category in OUTWEAR else 0.0)
    waist = 0.345 if category in LOWER else chest - _within(rng, -0.02, 0.1, spread)
    low, high = {7: (0.2, 0.32), 8: (0.1, 0.25), 9: (0.36, 0.85)}.get(category, (waist, waist + 0.16))
    if category in DRESSES:
        low, high = 0.4, 0.88
    length_low, length_high = _lengths(category)
    graphic = _graphic(rng, category, params.graphic_share)
    if graphic is not None and pockets == "chest":
        pockets = "none"
    ends = ("straight", "straight", "curved", "asymmetric") if category not in {7, 8} else ("straight",)
    return Cut(
        category=category, neckline=neckline, neck_width=neck_width, neck_depth=neck_depth,
        back_depth=back_depth, shoulder=chest + _within(rng, 0.0, 0.06, spread), chest=chest, waist=waist,
        hem_width=_within(rng, low, high, spread), length=_within(rng, length_low, length_high, spread),
        hem=_pick(rng, ends), sleeve_length=sleeve_length, sleeve_width=sleeve_width, cuff_width=cuff,
        sleeve_shape=shape, collar=collar, closure=closure, pockets=pockets, detail=detail,
        trim=_pick(rng, ("none", "none", "edges", "edges", "sleeves")),
        block=_pick(rng, ("none",) * 6 + ("horizontal", "diagonal", "vertical")),
        back_panel=bool(rng.random() < params.back_panel_share), print=_print(rng, params.plain_share),
        graphic=graphic,
    )  # fmt: skip
