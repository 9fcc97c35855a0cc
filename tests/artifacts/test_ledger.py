"""The ledger: contents are hashed once, and nothing that changed is taken for what it was."""

import hashlib
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skufp.artifacts.ledger import MISSING, SETTLED_NS, Ledger


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _later() -> int:
    """The time at which everything that was written by now has settled."""
    return time.time_ns() + 2 * SETTLED_NS


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / f"{i}.jpg" for i in range(200)]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        path.write_text(f"photo {i}")
    return paths


def _hashes(ledger: Ledger, paths: list[Path]) -> list[str]:
    return list(ledger.hashes(map(str, paths)).values())


def _ledger(folder: Path) -> Ledger:
    return Ledger(folder / "cache" / "ledger.sqlite", now=_later)


def test_hashes_are_of_contents_and_are_made_once(tmp_path: Path, photos: list[Path]) -> None:
    first = _ledger(tmp_path)
    expected = [_sha256(f"photo {i}") for i in range(200)]
    assert _hashes(first, photos) == expected
    assert (first.files_hashed, first.bytes_hashed) == (200, sum(path.stat().st_size for path in photos))
    second = _ledger(tmp_path)
    assert _hashes(second, photos) == expected
    assert (second.files_hashed, second.bytes_hashed) == (0, 0)


def test_what_will_be_hashed_is_announced(tmp_path: Path, photos: list[Path]) -> None:
    said: list[tuple[int, int]] = []
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda files, size: said.append((files, size)), _later)
    _hashes(ledger, photos[:3])
    _hashes(ledger, photos[:3])
    _hashes(ledger, photos[:4])
    assert said == [(3, 3 * len("photo 0")), (1, len("photo 0"))]


def test_an_overwritten_file_of_equal_size_whose_time_was_set_back_is_hashed_again(
    tmp_path: Path, photos: list[Path]
) -> None:
    _hashes(_ledger(tmp_path), photos)
    before = photos[7].stat()
    photos[7].write_text("PHOTO 7")
    os.utime(photos[7], ns=(before.st_atime_ns, before.st_mtime_ns))
    after = photos[7].stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    ledger = _ledger(tmp_path)
    assert _hashes(ledger, photos)[7] == _sha256("PHOTO 7")
    assert ledger.files_hashed == 1


def test_a_file_that_was_replaced_or_touched_is_hashed_again(tmp_path: Path, photos: list[Path]) -> None:
    _hashes(_ledger(tmp_path), photos)
    os.replace(photos[1], photos[0])
    os.utime(photos[2])
    ledger = _ledger(tmp_path)
    assert _hashes(ledger, photos)[:3] == [_sha256("photo 1"), MISSING, _sha256("photo 2")]
    assert ledger.files_hashed == 2


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path, photos: list[Path]) -> None:
    for _ in range(2):
        ledger = Ledger(tmp_path / "ledger.sqlite")  # by the real clock
        _hashes(ledger, photos)
        assert ledger.files_hashed == 200
    os.utime(photos[0], ns=(0, 0))  # an old time that was set just now is as young
    ledger = Ledger(tmp_path / "ledger.sqlite")
    _hashes(ledger, photos[:1])
    assert ledger.files_hashed == 1
    database = sqlite3.connect(tmp_path / "ledger.sqlite")
    assert database.execute("SELECT count(*) FROM content").fetchone() == (0,)
    database.close()


def test_missing_things_links_and_odd_names(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "good link").symlink_to(photos[3])
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")  # no UTF-8
    Path(odd).write_text("odd")
    names = [str(tmp_path / "good link"), str(tmp_path / "dangling"), str(tmp_path), str(tmp_path / "none"), odd,
             "a\0b", "\ud800", "x" * 5000]  # fmt: skip
    expected = [_sha256("photo 3"), MISSING, MISSING, MISSING, _sha256("odd"), MISSING, MISSING, MISSING]
    for left in (2, 0):
        ledger = _ledger(tmp_path)
        assert list(ledger.hashes(names).values()) == expected
        assert ledger.files_hashed == left


def test_relative_and_absolute_paths_share_a_row(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hashes(_ledger(tmp_path), photos[:1])
    monkeypatch.chdir(tmp_path)
    ledger = _ledger(tmp_path)
    assert ledger.hashes(["photos/0.jpg"]) == {"photos/0.jpg": _sha256("photo 0")}
    assert ledger.files_hashed == 0


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "deleted", "a folder"])
def test_a_damaged_ledger_is_made_again(tmp_path: Path, photos: list[Path], damage: str) -> None:
    _hashes(_ledger(tmp_path), photos)
    file = tmp_path / "cache" / "ledger.sqlite"
    whole = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "deleted":
        file.write_bytes({"text": b"no database" * 1000, "cut": whole[: len(whole) // 2], "empty": b""}[damage])
    expected = [_sha256(f"photo {i}") for i in range(200)]
    assert _hashes(_ledger(tmp_path), photos) == expected
    again = _ledger(tmp_path)
    assert _hashes(again, photos) == expected
    assert again.files_hashed == (200 if damage == "a folder" else 0)


def test_without_a_place_to_write_everything_is_hashed(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "a file").touch()
    for file in (None, tmp_path / "a file" / "ledger.sqlite", Path("/proc/nowhere/ledger.sqlite")):
        ledger = Ledger(file, now=_later)
        assert _hashes(ledger, photos[:2]) == [_sha256("photo 0"), _sha256("photo 1")]


def test_a_read_only_ledger_is_read(tmp_path: Path, photos: list[Path]) -> None:
    """Root may write anywhere, so SQLite itself is told: a lock held by another run is the same refusal."""
    _hashes(_ledger(tmp_path), photos[:5])
    database = sqlite3.connect(f"file:{tmp_path}/cache/ledger.sqlite?mode=ro", uri=True)
    assert database.execute("SELECT count(*) FROM content").fetchone() == (5,)
    database.close()
    for path in (tmp_path / "cache" / "ledger.sqlite", tmp_path / "cache"):
        path.chmod(path.stat().st_mode & ~0o222)
    assert _hashes(_ledger(tmp_path), photos[:6])[5] == _sha256("photo 5")
    (tmp_path / "cache").chmod(0o755)


def test_several_runs_share_a_ledger(tmp_path: Path, photos: list[Path]) -> None:
    expected = [_sha256(f"photo {i}") for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: _hashes(_ledger(tmp_path), photos), range(8)))
    assert found == [expected] * 8
    last = _ledger(tmp_path)
    assert _hashes(last, photos) == expected
    assert last.files_hashed == 0
