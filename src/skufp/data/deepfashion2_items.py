"""Items of DeepFashion2's annotation files, and the reasons why an item cannot be used."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from skufp.artifacts.records import CropRecord

REACH, LARGEST = 10**7, 2**31  # limits of pixel coordinates, and of the numbers of pairs, styles and categories


def items(annotation: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Yield an annotation's items with their numbers."""
    for key, value in annotation.items():
        if key.startswith("item") and key[4:].isdecimal() and len(key) < len("item") + 10:
            yield int(key[4:]), value


def fault(item: Any) -> tuple[str, str]:
    """Return the reason why an item cannot be used, or empty strings."""
    try:
        style, box = number(item["style"]), [int(v) for v in item["bounding_box"]]
        number(item["category_id"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return "item lacks style, category_id or bounding_box", repr(error)
    if style == 0:
        return "style 0 (no partner)", ""
    if len(box) != 4 or box[2] <= box[0] or box[3] <= box[1]:
        return "empty box", str(item["bounding_box"])
    if max(map(abs, box)) > REACH:
        return "box beyond any photo", ""
    return "", ""


def number(value: Any) -> int:
    """Return a pair, style or category as a number; ValueError if it does not fit the tables."""
    if abs(number := int(value)) >= LARGEST:
        raise ValueError("the number is too large")
    return number


def grade(item: dict[str, Any], field: str) -> int:
    """Return occlusion, viewpoint, scale or zoom_in; 0 (unknown) where it is missing or not a number."""
    value = item.get(field)
    return int(value) if isinstance(value, int | float) and abs(value) < REACH else 0  # nan is not less


def one_category_per_sku(records: list[CropRecord]) -> None:
    """Give every SKU its most frequent category: with the official key its items may disagree."""
    votes: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for r in records:
        votes[r.sku_id][(r.category_id, r.category_name)] += 1
    for r in records:
        r.category_id, r.category_name = votes[r.sku_id].most_common(1)[0][0]
