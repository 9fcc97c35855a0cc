"""Ground-truth attributes of a SKU: only what is really drawn."""

from __future__ import annotations

from .cuts import CATEGORIES, DRESSES, LOWER, OUTWEAR, Cut
from .plan import ImagePlan, ItemPlan, key

_LENGTHS: dict[str, tuple[tuple[float, str], ...]] = {
    "top": ((1.1, "cropped"), (1.3, "regular"), (9.0, "long")),
    "outwear": ((1.25, "short"), (1.55, "mid"), (9.0, "long")),
    "dress": ((2.05, "mini"), (2.45, "midi"), (9.0, "maxi")),
    "skirt": ((1.9, "mini"), (2.35, "midi"), (9.0, "maxi")),
    "shorts": ((1.93, "short"), (9.0, "knee")),
    "trousers": ((2.85, "cropped"), (9.0, "full")),
}


def _family(category: int) -> str:
    if category in DRESSES:
        return "dress"
    if category in OUTWEAR:
        return "outwear"
    return {7: "shorts", 8: "trousers", 9: "skirt"}.get(category, "top")


def length_word(cut: Cut) -> str:
    """Length in words, relative to the garment's family."""
    return next(word for limit, word in _LENGTHS[_family(cut.category)] if cut.length < limit)


def sleeve_word(cut: Cut) -> str | None:
    """Sleeve in words; None for garments that hang from the waist."""
    if cut.category in LOWER:
        return None
    if cut.sleeve_length == 0:
        return "straps" if cut.category in {6, 13} else "sleeveless"
    length = "long" if cut.sleeve_length > 0.7 else "short"
    return length if cut.sleeve_shape == "straight" else f"{length} {cut.sleeve_shape}"


def _uses_second(cut: Cut) -> bool:
    trimmed = cut.trim == "edges" or (cut.trim == "sleeves" and cut.sleeve_length > 0)
    lower = cut.category in LOWER and cut.detail in ("sidestripe", "cuff")
    letters = cut.graphic is not None
    marked = trimmed or lower or letters or cut.back_panel
    return marked or cut.print.pattern != "solid" or cut.block != "none" or cut.collar == "hood"


def _trim_word(cut: Cut) -> str | None:
    if cut.trim == "sleeves" and cut.sleeve_length == 0:
        return None
    return None if cut.trim == "none" else f"contrast {cut.trim}"


def sku_attributes(split: str, item: ItemPlan) -> dict[str, str | int | bool | None]:
    """One row of attributes.jsonl; a value is None where the garment has no such thing."""
    cut, (pair_id, style, category) = item.cut, key(item)
    names = item.colours.names
    upper = category not in LOWER
    return {
        "split": split, "sku_id": f"{pair_id:06d}_{style:02d}_{category:02d}",
        "pair_id": pair_id, "style": style, "category_id": category, "category_name": CATEGORIES[category],
        "colour": names[0], "second_colour": names[1] if _uses_second(cut) else None,
        "belt_colour": names[2] if cut.detail == "belt" else None,
        "pattern": cut.print.pattern, "colour_block": None if cut.block == "none" else cut.block,
        "back_panel": cut.back_panel, "graphic": cut.graphic.kind if cut.graphic else None,
        "graphic_place": None if not cut.graphic else "centre" if cut.graphic.x == 0 else "chest",
        "neckline": cut.neckline if upper else None, "sleeve": sleeve_word(cut), "length": length_word(cut),
        "collar": None if cut.collar == "none" else cut.collar,
        "closure": None if cut.closure == "none" else cut.closure,
        "pockets": None if cut.pockets == "none" else cut.pockets,
        "detail": None if cut.detail == "none" else cut.detail, "trim": _trim_word(cut),
        "hem": cut.hem if category not in {7, 8} else None,
    }  # fmt: skip


def attribute_rows(images: list[ImagePlan]) -> list[dict[str, str | int | bool | None]]:
    """Rows for all SKUs (style > 0) of a plan, by split and sku_id."""
    rows: dict[tuple[str, int, int, int], dict[str, str | int | bool | None]] = {}
    for image in images:
        for item in image.items:
            if item.style > 0:
                rows.setdefault((image.split, *key(item)), sku_attributes(image.split, item))
    return [rows[k] for k in sorted(rows)]
