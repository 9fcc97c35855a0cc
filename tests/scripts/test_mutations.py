"""The table of planted faults keeps up with the code: a row that can no longer be planted proves nothing."""

from pathlib import Path
from types import SimpleNamespace

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_fault_can_be_planted_and_has_tests(scripts: SimpleNamespace) -> None:
    rows = scripts.faults.MUTATIONS
    assert len({row.fault for row in rows}) == len(rows)
    for row in rows:
        text = (REPOSITORY / "src" / "skufp" / row.file).read_text(encoding="utf-8")
        assert text.count(row.old) == 1, (
            f"scripts/faults.py, '{row.fault}': {row.file} has the text no longer, or twice"
        )
        compile(text.replace(row.old, row.new), row.file, "exec")
        for name in row.tests.split():
            assert (REPOSITORY / "tests" / name).is_file(), f"scripts/faults.py, '{row.fault}': no tests/{name}"
