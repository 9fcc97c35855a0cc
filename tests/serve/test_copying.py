"""Laying a bundle out: whole or not at all, over an older one and over nothing else."""

import shutil
from pathlib import Path

import pytest

import skufp
from skufp.errors import UserError
from skufp.serve.copying import copy_bundle


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_copy_takes_the_place_of_an_older_bundle_and_of_nothing_else(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    copy_bundle(whole, target)
    (target / "left over").write_text("from an older bundle")
    copy_bundle(whole, target)
    assert files_of(target) == files_of(whole)
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a bundle"):
        copy_bundle(whole, tmp_path / "photos")
    assert files_of(tmp_path / "photos") == ["a.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="there is a file of this name"):
        copy_bundle(whole, tmp_path / "file")
    with pytest.raises(UserError, match=r"export_to=/proc/bundle: it cannot be written \(No such file"):
        copy_bundle(whole, Path("/proc/bundle"))


def test_a_copy_that_ends_early_leaves_the_older_bundle(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, copyfile = tmp_path / "bundle", shutil.copyfile
    copy_bundle(whole, target)

    def full(source: Path, to: Path) -> None:
        if Path(to).name == "index.faiss":
            raise OSError(28, "No space left on device")
        copyfile(source, to)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match="No space left on device"):
        copy_bundle(whole, target)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    skufp.open(target, verify=True)
