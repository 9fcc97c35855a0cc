"""The lines of an exported `<split>_image_text.jsonl`, as records or as the reasons why they are invalid."""

import json
from collections.abc import Iterator
from pathlib import Path

from skufp.artifacts.products import sound
from skufp.artifacts.records import CATALOG, QUERY, CropRecord

TEXTS = ("sku_id", "domain", "image_path", "image_id", "category_name", "text", "rich_text", "mask_path")
NUMBERS = ("pair_id", "style", "category_id", "item_idx", "occlusion", "viewpoint", "scale", "zoom_in")


def lines_of(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of ``file`` that are not empty, with their numbers."""
    with file.open("rb") as lines:
        yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def record_of(line: bytes) -> CropRecord | str:
    """Return a line of an exported table as a record, or the reason why it is invalid."""
    try:
        record = CropRecord.from_dict(json.loads(line))
        for name in TEXTS:
            if not isinstance(text := getattr(record, name), str) or text != sound(text):
                return f"{name} is no text"
        for name in NUMBERS:
            if not isinstance(getattr(record, name), int):
                return f"{name} is no number"
        return record if record.domain in (CATALOG, QUERY) else f"unknown domain '{record.domain}'"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return repr(error)
