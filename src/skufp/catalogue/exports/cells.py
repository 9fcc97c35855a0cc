"""Text for files that other programs read: legal characters, cells safe in spreadsheets, reading and writing tables."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skufp.catalogue.journal import write_whole

# What XML 1.0 allows (https://www.w3.org/TR/xml/#charsets) less the carriage return; it has no lone surrogates either.
_ILLEGAL = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FORMULA = "=+-@＝＋－＠"  # start a formula; https://owasp.org/www-community/attacks/CSV_Injection
SEPARATOR = " | "  # between the values of one cell
_BLANKS = "\t\r\n"


def clean(text: str) -> str:
    """Return ``text`` with line breaks as \\n and without characters that are illegal in text files."""
    return _ILLEGAL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def flat(text: str) -> str:
    """Return ``text`` in one line: every run of white space is one space."""
    return " ".join(clean(text).split())


def runs_in_a_spreadsheet(cell: str) -> bool:
    """Return whether a spreadsheet might run the cell as a formula."""
    return cell[:1] in (*_BLANKS, *FORMULA) or cell.lstrip()[:1] in (*FORMULA,)


def guard(cell: str) -> str:
    """Return the cell, with an apostrophe in front if a spreadsheet might run it as a formula."""
    return "'" + cell if runs_in_a_spreadsheet(cell) else cell


def unguarded(cell: str) -> str:
    """Undo guard."""
    return cell[1:] if cell[:1] == "'" and runs_in_a_spreadsheet(cell[1:]) else cell


@dataclass
class Table:
    """Rows of a CSV or TSV file; ``guarded`` names the cells (row's id, column) that got an apostrophe."""

    columns: Sequence[str]
    identity: str  # the column that names a row
    rows: list[list[str]] = field(default_factory=list)
    guarded: list[tuple[str, str]] = field(default_factory=list)

    def add(self, row: Mapping[str, str]) -> None:
        """Add a row; missing columns stay empty. Raises ValueError for an unknown column."""
        if unknown := set(row) - set(self.columns):
            raise ValueError(f"no such column: {', '.join(sorted(unknown))}")
        cells = {column: clean(row.get(column, "")) for column in self.columns}
        self.guarded += [(cells[self.identity], c) for c, cell in cells.items() if runs_in_a_spreadsheet(cell)]
        self.rows.append([guard(cell) for cell in cells.values()])

    def write(self, path: Path, delimiter: str = ",") -> None:
        """Write the table as UTF-8, atomically.

        Comma-separated cells are always quoted, so that a spreadsheet that splits at semicolons finds no formula.
        """
        text = io.StringIO(newline="")
        dialect = csv.unix_dialect if delimiter == "," else csv.excel_tab  # the first quotes everything
        writer = csv.writer(text, dialect, lineterminator="\n")
        writer.writerows([self.columns, *self.rows])
        write_whole(path, text.getvalue().encode("utf-8"))


def read_table(path: Path, delimiter: str = ",") -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a file; raise UnicodeDecodeError where it is not UTF-8, csv.Error if torn."""
    text = path.read_bytes().decode("utf-8")
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return header, rows


def joined(parts: Iterable[str], separator: str = SEPARATOR) -> str:
    """Return the non-empty parts with ``separator`` between them."""
    return separator.join(part for part in parts if part)
