"""Cells that no spreadsheet runs, and tables that come back as they were written."""

from pathlib import Path

import pytest

from skufp.catalogue.exports.cells import Table, clean, flat, guard, read_table

FORMULAS = [
    '=HYPERLINK("http://evil.example","click")', "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1:A9)", "\t=1+1", "\r=1+1",
    "\n=1", "  =1+1", "＝1+1", "＋1", "－1", "＠A1",
]  # fmt: skip


@pytest.mark.parametrize("cell", FORMULAS)
def test_formulas_get_an_apostrophe(cell: str) -> None:
    assert guard(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", " ", "navy", "a=b", "T-shirt", "29.90", "'=1", "<p>=1</p>", "مرحبا"])
def test_other_cells_stay(cell: str) -> None:
    assert guard(cell) == cell


def test_characters_that_no_file_may_have_go() -> None:
    assert clean("a\x00b\x1bc\ud800d\ufffee\r\nf\rg\th👗") == "abcde\nf\ng\th👗"
    assert flat(" a\r\n b\t\u00a0c ") == "a b c"


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_table_comes_back(tmp_path: Path, delimiter: str) -> None:
    rows = [["1", 'say "hi", she said\nand\tleft; ok'], ["2", "नीली साड़ी 👗"], ["3", ""], ["4", '"']]
    table = Table(["id", "text"], "id")
    for number, text in rows:
        table.add({"id": number, "text": text})
    table.write(tmp_path / "t", delimiter)
    assert read_table(tmp_path / "t", delimiter) == (["id", "text"], rows)
    assert table.guarded == []


def test_a_csv_quotes_every_cell_so_that_semicolons_split_nothing(tmp_path: Path) -> None:
    table = Table(["id", "text"], "id")
    table.add({"id": "1", "text": "a;=1+1"})
    table.write(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b'"id","text"\n"1","a;=1+1"\n'


def test_guarded_cells_are_named_and_unknown_columns_refused() -> None:
    table = Table(["id", "text"], "id")
    table.add({"id": "7", "text": "\r=1"})
    assert (table.rows, table.guarded) == ([["7", "'\n=1"]], [("7", "text")])
    with pytest.raises(ValueError, match="txet"):
        table.add({"id": "8", "txet": "x"})
