"""The Python that README and the guide to bundles show: run as it stands there, beside a bundle and a photo."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import skufp
from skufp.serve.assembly import Sources
from skufp.serve.parts import KINDS

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = (REPOSITORY / "docs" / "guide" / "bundle.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def code(text: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.S | re.M))


@pytest.fixture
def place(whole: Path, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: bundle/ and photo.jpg are in it."""
    shutil.copytree(whole, tmp_path / "bundle")
    Image.open(sources.stages["prepare"] / "test-s6-1.png").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_lines_of_the_guide_do_what_they_say(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = code(GUIDE)
    assert len(lines.splitlines()) <= 12
    exec(compile(lines, "bundle.md", "exec"), {})
    told = capsys.readouterr().out.splitlines()
    expected = [result.sku for result in skufp.open("bundle").search(image="photo.jpg")]  # type: ignore[union-attr]
    assert [line.split()[:2] for line in told[:5]] == [[str(i), sku] for i, sku in enumerate(expected, 1)]
    assert [Image.open(place / f"{rank}.jpg").size for rank in range(1, 6)] == [(115, 144)] * 5
    fit = sum(i % 3 != 1 for i in range(12))  # red or blue, see conftest.py
    assert told[5].startswith(f"12 SKUs; 5 of {fit} that fit; ['{expected[0]}', '{expected[0]}', ")
    assert told[6].endswith("| cannot: policy")
    assert len(told) == 7


def test_the_lines_of_the_readme_do_what_they_say(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"<!-- bundle: skufp.open -->(.*?)<!-- /bundle -->", README, re.S)
    exec(compile(code(block), "README.md", "exec"), {"skufp": skufp})
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 5
    assert all("'Color': " in line for line in told)


def test_the_guide_tells_of_every_part() -> None:
    table = GUIDE.partition("## What is in it")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(KINDS)
