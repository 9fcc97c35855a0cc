"""One row per SKU with its source's text columns, for every later stage (`products.jsonl`)."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skufp.errors import UserError

FILE = "products.jsonl"
KEYS = ("split", "sku_id")  # join a row to its photos; all other columns are fields


@dataclass(frozen=True)
class Product:
    """A SKU and its source's non-empty columns: title, brand, price, colour, …; {} if it has none."""

    split: str
    sku_id: str
    category_name: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def sku(self) -> tuple[str, str]:
        """The key that joins products and records: split and sku_id."""
        return self.split, self.sku_id


def write_products(folder: Path, products: Iterable[Product]) -> None:
    """Write products.jsonl into ``folder``."""
    lines = [json.dumps(asdict(product), ensure_ascii=False) + "\n" for product in products]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def read_products(folder: Path) -> list[Product]:
    """Read what write_products wrote."""
    with (folder / FILE).open(encoding="utf-8") as file:
        return [Product(**json.loads(line)) for line in file]


def read_fields(path: Path, split: str) -> dict[str, dict[str, str]]:
    """Return the fields of every SKU of ``split`` in a JSONL written by people or programs; {} if there is no file.

    Every line is an object with split, sku_id and optionally ``fields`` (the form of write_products); all other keys
    are fields. Raises UserError with the line that is invalid, and for two lines of one SKU.
    """
    found: dict[str, dict[str, str]] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            own, sku = row["split"] == split, str(row["sku_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a JSON object with split and sku_id ({error!r})") from error
        if own and sku in found:
            raise UserError(f"{path}, line {number}: SKU '{sku}' of split {split} has a line already")
        if own:
            found[sku] = fields_of({**row, **row.get("fields", {})}, (*KEYS, "fields", "category_name"))
    return found


def fields_of(row: Mapping[str, Any], without: Iterable[str] = ()) -> dict[str, str]:
    """Return the non-empty cells of ``row`` as text, except those named in ``without``.

    Lists are joined with commas, true and false are yes and no; a nested object is kept as JSON.
    """
    left_out = set(without)
    cells = {str(name).strip(): _text(value) for name, value in row.items() if name and name not in left_out}
    return {name: text for name, text in cells.items() if text}


def same(text: str) -> str:
    """Return ``text`` normalised for comparison: lower case, _ and runs of spaces as one space."""
    return " ".join(re.sub(r"[\s_]+", " ", text).casefold().split())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(text for each in value if (text := _text(each)))
    if isinstance(value, Mapping):
        return sound(json.dumps(value, ensure_ascii=False))
    return "" if value is None or value != value else sound(str(value).strip())  # not equal to itself: NaN


def sound(text: str) -> str:
    """Return ``text`` with "?" for a lone surrogate (half an emoji), which is legal in JSON but not in UTF-8."""
    return text.encode("utf-8", "replace").decode()
