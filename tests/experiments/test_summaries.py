"""Summaries of sweeps as tables: what comes back is what went in."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

MODULES = ("collect", "summaries")


@pytest.mark.parametrize(
    "summary",
    [
        {"a": 1, "b": 1.0, "c": True, "d": None, "e": "1.0", "f": -0.1, "g": float("inf")},
        {"views": {"1": {"mrr": 0.5}, "4+": {"mrr": 0.25}}, "list": [[1, 2.5], [], {}, {"x": [None]}]},
        {"~2a": 1, "[0]": 2, "a/b": {"~1": {"": 3}}, "": {"": 4}, "[": [5], "/": 6},
        {"empty": {}, "none": [], "text": 'é "quoted" \n line'},
        {},
    ],
    ids=str,
)
def test_a_table_holds_all_that_json_holds(summary: dict[str, Any], scripts: SimpleNamespace, tmp_path: Path) -> None:
    scripts.summaries.save(tmp_path / "s.parquet", summary)
    found = scripts.summaries.load(tmp_path / "s.parquet")
    assert json.dumps(found) == json.dumps(summary)


def test_a_reader_finds_a_figure_by_its_path(scripts: SimpleNamespace, tmp_path: Path) -> None:
    scripts.summaries.save(tmp_path / "s.parquet", {"variants": [{"image": {"mean": {"mrr": 0.75}}, "seeds": 5}]})
    assert pq.read_table(tmp_path / "s.parquet").to_pydict() == {
        "path": ["/variants/[0]/image/mean/mrr", "/variants/[0]/seeds"],
        "number": [0.75, None],
        "json": [None, "5"],
    }
