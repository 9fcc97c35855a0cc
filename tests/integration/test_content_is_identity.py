"""A catalogue's photos decide by their content what is prepared again, through the real command line."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from skufp.artifacts.ledger import Ledger

SETTINGS = ("stage=prepare", "data=catalogue", "progress=false", "workers=1", "data.manifest={}/products.csv")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "photos").mkdir(parents=True)
    rows = ["sku,image"]
    for i in range(8):
        Image.new("RGB", (16, 16), (i * 20, 0, 0)).save(root / "photos" / f"{i}.bmp")
        rows.append(f"{i},photos/{i}.bmp")
    (root / "photos" / "8.bmp").symlink_to("nowhere.bmp")
    (root / "products.csv").write_text("\n".join([*rows, "8,photos/8.bmp"]))
    return root


@pytest.fixture
def run(command, tmp_path: Path, read):
    """Prepare a catalogue; return its folder and whether it had to be prepared."""

    def prepared(root: Path) -> tuple[str, bool]:
        result = command(tmp_path, *(setting.format(root) for setting in SETTINGS))
        assert result.code == 0, result.err
        folder = re.search(r"runs/prepare/\w+-\w{12}", result.out)[0]
        report = read(tmp_path / folder / "report.json")
        assert "photos/8.bmp" in {row["file"] for row in report["skipped"]}
        return folder, "to run" in result.out

    return prepared


def test_what_counts_is_what_photos_show(run, catalogue: Path, tmp_path: Path) -> None:
    first, ran = run(catalogue)
    assert ran
    photo = catalogue / "photos" / "3.bmp"
    before, content = photo.stat(), photo.read_bytes()

    shutil.copytree(catalogue, tmp_path / "copy", symlinks=True)
    for file in (tmp_path / "copy" / "products.csv", tmp_path / "copy" / "photos" / "3.bmp"):
        os.utime(file)
    assert run(tmp_path / "copy") == (first, False)  # copied and touched

    photo.write_bytes(content[:-3] + b"\xff\xff\xff")  # overwritten, of equal size and with its old time
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert photo.stat().st_size == before.st_size
    second, ran = run(catalogue)
    assert ran
    photo.unlink()
    third, ran = run(catalogue)
    assert ran
    assert len({first, second, third}) == 3


def test_the_next_plan_reads_no_photo_and_does_without_a_ledger(
    run, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(2.1)  # files that are younger are hashed again
    sizes: list[int] = []
    original = Ledger._hash
    monkeypatch.setattr(
        Ledger, "_hash", lambda self, paths, states: (sizes.append(len(paths)), original(self, paths, states))[1]
    )
    first, _ = run(catalogue)
    assert sizes == [9]
    assert run(catalogue) == (first, False)
    assert sizes == [9]
    ledger = tmp_path / "cache" / "ledger.sqlite"
    ledger.write_bytes(b"no database at all" * 100)
    assert run(catalogue) == (first, False)
    assert sizes == [9, 9]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").touch()  # nothing can be written there
    assert run(catalogue) == (first, False)
    assert sizes == [9, 9, 9]


def test_photos_beside_the_runs_are_read_alone(command, catalogue: Path, only, read) -> None:
    settings = ("stage=prepare", "data=folder", "data.root=.", "progress=false", "workers=1")
    for expected in ("to run", "done"):
        result = command(catalogue, *settings)
        assert result.code == 0, result.err
        assert expected in result.out
    splits = read(only(catalogue, "prepare") / "report.json")["splits"]
    assert sum(row["catalog"] for row in splits.values()) == 8
