"""Actions on query photos through the real command line, on the small chain's catalogue."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.actions.exposure import Exposure


@pytest.fixture(scope="module")
def photo(chain: SimpleNamespace) -> Path:
    """A query photo, made dark, without loss."""
    crop = next((chain.folders["prepare"] / "validation" / "query").rglob("*.jpg"))
    path = chain.folder / "dark.png"
    Image.open(crop).convert("RGB").point(lambda level: level // 3).save(path)
    return path


@pytest.fixture(scope="module")
def search(chain: SimpleNamespace, command: Any) -> Any:
    """Search beside the chain."""
    return lambda *arguments: command(chain.folder, *chain.settings, "stage=search", *arguments)


def answer(chain: SimpleNamespace, read: Any, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the newest search with policy ``name``, and its first answer."""
    folders = (chain.folder / "runs" / "search").glob(f"*-{name}-*")
    newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
    return newest, read(newest / "results.json")[0]


def test_a_fixed_action_is_taken_named_and_shown(search: Any, chain: Any, photo: Path, read: Any) -> None:
    result = search("--image", str(photo), "--text", "navy tee", "policy=fixed", "policy.action=exposure")
    assert result.code == 0, result.out + result.err
    assert f"query: {photo} (action: exposure)" in result.out
    assert "policy" not in {line.split()[0] for line in result.out.splitlines() if "runs/" in line}  # nothing is learnt
    folder, found = answer(chain, read, "fixed")
    assert (found["action"], found["predicted_gain"], found["edited"]) == ("exposure", None, "edited/01.jpg")
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4, 5]
    edited, expected = np.asarray(Image.open(folder / found["edited"]), int), Exposure()(np.asarray(Image.open(photo)))
    assert np.abs(edited - expected).mean() < 3  # JPEG
    assert edited.mean() > 1.3 * np.asarray(Image.open(photo)).mean()
    assert Image.open(folder / "contact_sheet.png").width == 10 + 7 * 210  # query, edited photo, five answers


@pytest.mark.slow
def test_without_a_policy_nothing_is_done(search: Any, chain: Any, photo: Path, read: Any) -> None:
    result = search("--image", str(photo))
    assert result.code == 0, result.out + result.err
    assert "action" not in result.out
    folder, found = answer(chain, read, "none")
    assert (found["action"], found["predicted_gain"], found["edited"]) == ("identity", None, None)
    assert not (folder / "edited").exists()
    assert Image.open(folder / "contact_sheet.png").width == 10 + 6 * 210


@pytest.mark.slow
def test_a_learnt_policy_is_planned_with_its_labels(search: Any, chain: Any, photo: Path) -> None:
    result = search("--image", str(photo), "policy=default", "upstream=refuse")
    assert result.code == 2
    assert "stage=search needs stage=actions" in result.err
    assert "stage=policy" in result.err
