"""Summaries of sweeps as Parquet tables: one row for every value, under its path.

Columns: path, a JSON Pointer (RFC 6901) in which `[3]` is an item of a list; number, where the value is a float; and
json, the value as JSON writes it where it is not. `pandas.read_parquet` and duckdb read them as they are.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("path", pa.string()), ("number", pa.float64()), ("json", pa.string())])


def save(path: Path, summary: dict[str, Any]) -> None:
    """Write a summary, which JSON could hold, as a table."""
    rows = [
        {"path": where, "number": value} if isinstance(value, float) else {"path": where, "json": json.dumps(value)}
        for where, value in leaves(summary)
    ]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="zstd")


def load(path: Path) -> dict[str, Any]:
    """Return the summary that ``save`` wrote."""
    found: Any = {}
    for row in pq.read_table(path, schema=SCHEMA).to_pylist():
        value = row["number"] if row["json"] is None else json.loads(row["json"])
        if not row["path"]:
            return value
        place(found, row["path"].split("/")[1:], value)
    return found


def leaves(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its path; an empty object or list is a value."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from leaves(value, f"{where}/{escaped(name)}")
    elif isinstance(node, list) and node:
        for number, value in enumerate(node):
            yield from leaves(value, f"{where}/[{number}]")
    else:
        yield where, node


def escaped(name: str) -> str:
    """Escape a name as JSON Pointer does, and one that looks like an item of a list."""
    name = name.replace("~", "~0").replace("/", "~1")
    return f"~2{name[1:]}" if name.startswith("[") else name


def place(node: Any, parts: list[str], value: Any) -> None:
    """Put ``value`` at the path ``parts`` below ``node``; items of lists come in their order."""
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        key = part if part.startswith("[") else part.replace("~2", "[").replace("~1", "/").replace("~0", "~")
        new: Any = value if following is None else [] if following.startswith("[") else {}
        if not key.startswith("[") or not isinstance(node, list):
            node = node.setdefault(key, new)
        elif int(key[1:-1]) == len(node):
            node.append(new)
            node = new
        else:
            node = node[int(key[1:-1])]
