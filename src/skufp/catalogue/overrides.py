"""Tables written by people: sku,attribute,value. Overrides replace every other source; labels train a probe."""

import csv
from collections.abc import Mapping
from pathlib import Path

from skufp.catalogue.exports.cells import unguarded
from skufp.catalogue.vocabulary import CATEGORY, Category, Vocabulary
from skufp.errors import UserError, nearest

COLUMNS = ("sku", "attribute", "value")
MAY_HAVE = ("confidence", "source")  # columns of stage=attributes' own table, which people correct and return
SHOWN = 10  # mistakes named in one message

Values = dict[str, dict[str, str]]  # by SKU and attribute; "" for "leave it out"


def read_values(path: Path, vocabulary: Vocabulary, categories: Mapping[str, str]) -> Values:
    """Read a CSV of sku, attribute, value; return each SKU's values in the vocabulary's spelling.

    ``categories`` are all SKUs with their categories. A row for the attribute ``category`` changes the SKU's category,
    and the SKU's other rows are read with the new category. An empty value is kept as "": the attribute is left out.
    Raises UserError with the lines of all mistakes: unknown SKUs, attributes and values, and contradictory rows.
    """
    rows = _rows(path)
    mistakes: list[str] = []
    of_sku = _categories(rows, vocabulary, categories, mistakes)
    values: Values = {}
    for number, sku, name, text in rows:
        if sku not in categories:
            mistakes.append(f"line {number}: there is no SKU '{sku}'.{_near_sku(sku, categories)}")
            continue
        try:
            attribute, value = _read(name, text, vocabulary, of_sku[sku])
        except UserError as error:
            mistakes.append(f"line {number}: {error}")
            continue
        if values.setdefault(sku, {}).setdefault(attribute, value) != value:
            mistakes.append(f"line {number}: {attribute} of '{sku}' is '{values[sku][attribute]}' in a line above")
    if mistakes:
        more = f"\n  … and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
        raise UserError(f"{path}:\n  " + "\n  ".join(mistakes[:SHOWN]) + more)
    return values


def _rows(path: Path) -> list[tuple[int, str, str, str]]:
    """Return line number, SKU, attribute and value of every row that is not empty."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (looked in {Path.cwd()}); it needs {', '.join(COLUMNS)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file)
            header = [cell.strip() for cell in next(table, [])]
            if sorted(set(header) - set(MAY_HAVE)) != sorted(COLUMNS):
                raise UserError(
                    f"{path}: the first line must be {','.join(COLUMNS)}, not {','.join(header) or 'empty'}"
                )
            rows = []
            for cells in table:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UserError(
                        f"{path}, line {table.line_num}: {len(cells)} cells, not {len(header)}; quote commas"
                    )
                row = dict(zip(header, (unguarded(cell.strip()) for cell in cells), strict=True))
                rows.append((table.line_num, row["sku"], row["attribute"], row["value"]))
            return rows
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save it as CSV UTF-8") from error


def _categories(
    rows: list[tuple[int, str, str, str]], vocabulary: Vocabulary, known: Mapping[str, str], mistakes: list[str]
) -> dict[str, Category]:
    """Return the category of every SKU in ``rows``, after the rows that change it."""
    named = {sku: known[sku] for _, sku, _, _ in rows if sku in known}
    for number, sku, name, text in rows:
        if sku in known and name.casefold() == CATEGORY:
            if text:
                named[sku] = text if vocabulary.resolve(text) else named[sku]
            else:
                mistakes.append(f"line {number}: a product cannot be without a category")
    return {sku: vocabulary.category(name) for sku, name in named.items()}


def _read(name: str, text: str, vocabulary: Vocabulary, category: Category) -> tuple[str, str]:
    """Return the attribute and the value of a row."""
    if name.casefold() == CATEGORY:
        return CATEGORY, vocabulary.category(text).name if text else ""
    attribute = category.attribute(name)
    return attribute.name, attribute.check(text) if text else ""


def _near_sku(sku: str, known: Mapping[str, str]) -> str:
    """Return a hint with the nearest SKU, or an example if none is near."""
    hint = nearest(sku, known)
    return hint if hint.startswith(" Did") else f" There are {len(known)}, e.g. '{min(known, default='')}'."
