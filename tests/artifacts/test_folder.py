"""Stage folders: manifests written last, atomic renames, journals that survive a kill."""

import json
from pathlib import Path

import pytest

from skufp.artifacts.folder import MANIFEST, Journal, Manifest, building, read_json, write_json


def _manifest(key: str = "abc") -> Manifest:
    return Manifest("embed", key, {"prepare": "p1"}, {"seed": 0}, "0.1.0", 1, 0, outside={"data.root:0": "f00"})


def test_manifest_round_trip(tmp_path: Path) -> None:
    first = _manifest()
    first.write(tmp_path)
    assert Manifest.read(tmp_path) == first


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', '{"stage": "embed"}', '{"unknown": 1}', "\ufeff{}"]
)
def test_garbage_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    assert Manifest.read(tmp_path) is None


def test_bytes_that_are_no_text_and_missing_folders_are_no_manifest(tmp_path: Path) -> None:
    assert Manifest.read(tmp_path / "nowhere") is None
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\x00garbage")
    assert Manifest.read(tmp_path) is None


def test_building_moves_the_folder_into_place(tmp_path: Path) -> None:
    final = tmp_path / "embed" / "name-abc"
    with building(final, _manifest(), resume=False) as work:
        assert not final.exists()
        (work / "vectors.npy").write_text("v")
    assert (final / "vectors.npy").read_text() == "v"
    assert [p.name for p in final.parent.iterdir()] == [final.name]
    manifest = Manifest.read(final)
    assert manifest is not None
    assert manifest.key == "abc"
    assert manifest.finished
    assert manifest.wall_seconds >= 0


def _fail(final: Path, resume: bool, name: str) -> None:
    with building(final, _manifest(), resume) as work:
        (work / name).write_text("half")
        raise RuntimeError("killed")


def test_after_an_exception_nothing_counts_as_done(tmp_path: Path) -> None:
    final = tmp_path / "name-abc"
    with pytest.raises(RuntimeError, match="killed"):
        _fail(final, True, "half.txt")
    assert not final.exists()
    assert not list(tmp_path.rglob(MANIFEST))


@pytest.mark.parametrize("resume", [True, False])
def test_second_attempt_finds_the_first_ones_files_only_when_it_resumes(tmp_path: Path, resume: bool) -> None:
    final = tmp_path / "name-abc"
    with pytest.raises(RuntimeError, match="killed"):
        _fail(final, resume, "half.txt")
    with building(final, _manifest(), resume) as work:
        assert (work / "half.txt").exists() is resume
    assert (final / "half.txt").exists() is resume


def test_a_folder_without_a_manifest_is_replaced(tmp_path: Path) -> None:
    final = tmp_path / "name-abc"
    final.mkdir()
    (final / "stale.txt").write_text("old")
    with building(final, _manifest(), resume=False) as work:
        (work / "fresh.txt").write_text("new")
    assert sorted(p.name for p in final.iterdir()) == ["fresh.txt", MANIFEST]


def test_journal_round_trip_with_any_text(tmp_path: Path) -> None:
    path, rows = tmp_path / "j.jsonl", [{"image": "中文\u2028 \r\n\t\x85.jpg"}, {"n": 1.5, "failed": []}]
    journal = Journal(path)
    assert journal.rows == []
    journal.append(rows[:1])
    journal.append(rows[1:])
    assert journal.rows == rows
    assert Journal(path).rows == rows


def test_journal_drops_a_torn_last_line_and_goes_on_after_it(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path).append([{"n": 1}, {"n": 2}])
    whole = path.read_bytes()
    for cut in range(1, len('{"n": 2}\n')):
        path.write_bytes(whole[:-cut])
        journal = Journal(path)
        assert journal.rows == [{"n": 1}]
        journal.append([{"n": 3}])
        assert [json.loads(line) for line in path.read_text().splitlines()] == [{"n": 1}, {"n": 3}]


def test_journal_torn_in_its_first_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes('{"n": "ü'.encode()[:-1])
    assert Journal(path).rows == []
    assert path.read_bytes() == b""


def test_json_round_trip_leaves_no_temporary_file(tmp_path: Path) -> None:
    path, value = tmp_path / "x.json", {"Größe": [1, 2.5, None], "文": "👗"}
    write_json(path, {"old": True})
    write_json(path, value)
    assert read_json(path) == value
    assert "👗" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
