"""The report of an export: its files, their problems, and values that only the shop can supply."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

NAMED = 5  # products named in a line for people; the JSON has all


@dataclass(frozen=True)
class Problem:
    """A value that the receiver of a file would refuse, and why. ``row`` is a product's id, or ""."""

    file: str
    row: str
    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.row or 'file'}, {self.column}: {self.reason}"


@dataclass
class ExportReport:
    """The outcome of an export.

    ``problems`` are invalid rows: there should be none. ``missing`` is file → attribute → products that lack it;
    ``supply`` tells how the shop supplies each attribute, since nothing is invented. ``faults`` are invalid values of
    the manifest, which were left out. ``guarded`` are cells that got an apostrophe against formulas. ``left_out`` are
    products without copy and their reasons; they are in products.csv only. ``notes`` are other omissions of a file.
    """

    rows: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    supply: dict[str, str] = field(default_factory=dict)
    faults: list[Problem] = field(default_factory=list)
    guarded: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report for people, one line each."""
        out = [f"{file}: {count} rows" for file, count in self.rows.items()]
        out += [f"INVALID {problem}" for problem in self.problems]
        lacking: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for file, attributes in self.missing.items():
            for name, skus in attributes.items():
                lacking.setdefault((name, tuple(skus)), []).append(file)
        every = max(self.rows.values(), default=0) - len(self.left_out)
        for (name, lacks), files in lacking.items():
            who = "all products" if len(lacks) == every else f"{len(lacks)} products ({named(lacks)})"
            out.append(f"{name} is missing for {who} in {', '.join(files)}; supply {self.supply[name]}")
        out += [f"left out: {fault}" for fault in self.faults]
        for file, cells in self.guarded.items():
            where = named(f"{sku} {column}" for sku, column in cells)
            out.append(f"{file}: {len(cells)} cells begin like a formula and got an apostrophe ({where})")
        if self.left_out:
            out.append(f"{len(self.left_out)} products without copy are in products.csv only ({named(self.left_out)})")
        return out + self.notes


def named(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
