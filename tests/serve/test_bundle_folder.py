"""A bundle's folder: moved, read-only, damaged, mixed, too new, laid out over another."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import skufp
from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.part_list import FILE, PartList, list_part
from skufp.errors import UserError
from skufp.serve.assembly import Sources, assemble
from skufp.serve.bundle import Bundle
from skufp.serve.parts import KINDS, NEEDED, OF_ENCODER, MissingPartError


def copied(whole: Path, to: Path) -> Path:
    return Path(shutil.copytree(whole, to / "copy"))


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def relist(folder: Path, part: str) -> None:
    """Make bundle.json agree with what lies in a part's folder."""
    listed = PartList.read(folder)
    listed.parts[part] = list_part(folder, part, KINDS[part].format, KINDS[part].version)
    listed.write(folder)


def test_every_file_is_listed_with_its_size_and_hash(whole: Path) -> None:
    listed = json.loads((whole / FILE).read_text())
    named = {name for part in listed["parts"].values() for name in part["files"]}
    assert named | {FILE} == set(files_of(whole))
    assert (listed["format"], listed["version"]) == ("skufp-bundle", 1)
    assert {name: part["format"] for name, part in listed["parts"].items()} == {
        name: KINDS[name].format for name in KINDS if name != "policy"
    }
    skufp.open(whole, verify=True)


def test_a_damaged_file_is_named_with_its_part(whole: Path, tmp_path: Path) -> None:
    """Each file in turn is cut by a byte, then taken away, then changed at equal size."""
    folder = copied(whole, tmp_path)
    for name in files_of(folder):
        path, data = folder / name, (folder / name).read_bytes()
        part = name.split("/")[0]
        said = r"bundle\.json is damaged" if name == FILE else rf"part '{part}' is damaged: {name}"
        path.write_bytes(data[: len(data) // 2] if name == FILE else data[:-1])
        with pytest.raises(UserError, match=said):
            skufp.open(folder)
        path.unlink()
        with pytest.raises(UserError, match="no bundle.json" if name == FILE else rf"{said} is missing"):
            skufp.open(folder)
        if name != FILE:
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
            with pytest.raises(UserError, match=rf"{said} has another sha256"):
                skufp.open(folder, verify=True)
        path.write_bytes(data)
    skufp.open(folder, verify=True)


@pytest.mark.parametrize("rubbish", [b"\xff", b"{", b"\0"], ids=["no text", "no JSON", "zeros"])
def test_rubbish_of_the_right_size_is_named_where_it_is_read(whole: Path, tmp_path: Path, rubbish: bytes) -> None:
    """Every file in turn, whatever the library that reads it raises."""
    folder = copied(whole, tmp_path)
    for name in files_of(folder):
        path, data = folder / name, (folder / name).read_bytes()
        if name == FILE or not data.strip(rubbish):
            continue
        path.write_bytes(rubbish * len(data))
        said = rf"part '{name.split('/')[0]}' is damaged: {name} has another sha256"
        with pytest.raises(UserError, match=re.escape(said)):
            use_everything(skufp.open(folder))
        path.write_bytes(data)
    use_everything(skufp.open(folder))


def use_everything(bundle: Bundle) -> None:
    first = bundle.search(image=Image.new("RGB", (30, 40)), top_k=1)[0]
    parts = bundle.parts
    _ = parts.word_index.search("red"), parts.word_weight
    _ = first.picture, parts.words, parts.aggregator, parts.readers, parts.vocabulary  # type: ignore[union-attr]
    if not all(np.isfinite(np.asarray(v)).all() and np.any(v) for v in (parts.skus.vectors, parts.views.views.vectors)):
        bundle = skufp.open(bundle.folder, verify=True)  # numbers that are none: only their hash can tell
    assert np.asarray(parts.words.vectors).shape == (2, 16)


def test_what_whole_files_do_wrong_is_no_damage(whole: Path) -> None:
    parts = skufp.open(whole).parts
    with pytest.raises(ZeroDivisionError):
        parts.read("views", lambda folder: 1 / 0)


@pytest.mark.parametrize("part", OF_ENCODER)
def test_vectors_of_another_encoder_are_refused(make_sources: Any, whole: Path, tmp_path: Path, part: str) -> None:
    assemble(make_sources(seed=1), tmp_path / "other")
    folder = copied(whole, tmp_path)
    shutil.rmtree(folder / part)
    shutil.copytree(tmp_path / "other" / part, folder / part)
    relist(folder, part)
    with pytest.raises(UserError, match=rf"{part} was built with another encoder .* stage=bundle"):
        skufp.open(folder)


def test_another_preprocessing_is_refused_as_such(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)
    marks = read_json(folder / "encoder" / "skufp_encoder.json")
    write_json(folder / "encoder" / "skufp_encoder.json", marks | {"preprocessing": "0123"})
    relist(folder, "encoder")
    with pytest.raises(UserError, match=r"another image preprocessing .*the query's is 0123"):
        skufp.open(folder)


def test_an_index_of_other_skus_is_refused(make_sources: Any, whole: Path, tmp_path: Path) -> None:
    assemble(make_sources(gallery=("test",)), tmp_path / "other")
    folder = copied(whole, tmp_path)
    shutil.copyfile(tmp_path / "other" / "index" / "index.faiss", folder / "index" / "index.faiss")
    relist(folder, "index")
    with pytest.raises(UserError, match="index holds 6 SKUs and the table 12"):
        skufp.open(folder).search(text="a")


def test_an_index_of_another_encoder_is_not_assembled(make_sources: Any, sources: Sources, tmp_path: Path) -> None:
    other = make_sources(seed=1)
    mixed = Sources({**sources.stages, "retriever": other.stages["retriever"]}, sources.gallery)
    with pytest.raises(UserError, match="another encoder"):
        assemble(mixed, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, r"has format 2, .* up to 1\. Update it"),
        ({"format": "zip"}, "the format is 'zip'"),
        ({"parts": {}}, "the part 'index'"),
        ({"parts": 3}, "is damaged"),
    ],
)
def test_another_format_is_refused(whole: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = copied(whole, tmp_path)
    write_json(folder / FILE, read_json(folder / FILE) | change)
    with pytest.raises(UserError, match=said):
        skufp.open(folder)


def test_a_newer_part_is_refused_and_an_unknown_one_is_not(whole: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)
    listed = read_json(folder / FILE)
    listed["parts"]["sound"] = {"format": "json", "version": 7, "files": {}}
    write_json(folder / FILE, listed)
    assert len(skufp.open(folder)) == 12
    listed["parts"]["views"]["version"] = 2
    write_json(folder / FILE, listed)
    with pytest.raises(UserError, match=r"part 'views' has format parquet\+npy 2"):
        skufp.open(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "index/../../secret", "..\\secret"])
def test_a_file_outside_the_bundle_is_refused(whole: Path, tmp_path: Path, name: str) -> None:
    folder = copied(whole, tmp_path)
    listed = read_json(folder / FILE)
    listed["parts"]["index"]["files"][name] = {"size": 1, "sha256": ""}
    write_json(folder / FILE, listed)
    with pytest.raises(UserError, match="a file outside the bundle"):
        skufp.open(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder.*stage=bundle export_to=.*nowhere"):
        skufp.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no bundle\.json in this folder"):
        skufp.open(tmp_path)
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(UserError, match=r"bundle\.json is a file: give the folder"):
        skufp.open(tmp_path / "bundle.json")


def test_it_answers_read_only_elsewhere_without_hydra_or_lightning(
    whole: Path, sources: Sources, tmp_path: Path
) -> None:
    """Another process, another folder, no write permission, and packages of the runs that cannot be imported."""
    folder, elsewhere = copied(whole, tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    photo = sources.stages["prepare"] / "test-s6-1.png"
    expected = skufp.open(whole).search(image=photo)
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {name: os.stat(folder / name).st_mtime_ns for name in files_of(folder)}
    code = (
        "import sys\n"
        "for name in ('hydra', 'omegaconf', 'pytorch_lightning', 'lightning'): sys.modules[name] = None\n"
        "import skufp\n"
        "bundle = skufp.open(sys.argv[1], verify=True)\n"
        "found = bundle.search(image=sys.argv[2], filter={'fit': 'loose'})\n"
        "all = bundle.search(image=sys.argv[2])\n"
        "bundle.parts.aggregator, bundle.parts.readers, bundle.parts.vocabulary, all[0].thumbnail\n"
        "print([(r.sku, r.score) for r in all])\n"
    )
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, str(folder), str(photo)]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([(result.sku, result.score) for result in expected])  # type: ignore[union-attr]
    assert {name: os.stat(folder / name).st_mtime_ns for name in files_of(folder)} == before
    assert files_of(elsewhere) == []


def test_no_file_names_a_place_of_the_runs(whole: Path, sources: Sources) -> None:
    place = str(sources.stages["retriever"].parent).encode()
    assert [name for name in files_of(whole) if place in (whole / name).read_bytes()] == []


def test_what_cannot_be_done_without() -> None:
    assert NEEDED == ("index", "skus")
    assert str(MissingPartError("b", "views", "x")).endswith("Make it: x")
