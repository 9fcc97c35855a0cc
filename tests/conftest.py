"""Fixtures that more than one room uses: the real photos beside the checkout, and a small generated catalogue."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

os.environ.setdefault("HF_HUB_OFFLINE", "1")
REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SKUFP_SHARED", REPOSITORY.parent / "shared"))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def luma() -> Path:
    """Real product photos in DeepFashion2 layout."""
    root = SHARED / "data" / "luma_df2"
    if not root.is_dir():
        pytest.skip(f"real photos are not there: {root}")
    return root


@pytest.fixture(scope="session")
def phone_photos() -> Path:
    """Real home photos of clothes."""
    root = SHARED / "data" / "phone_photos"
    if not root.is_dir():
        pytest.skip(f"real photos are not there: {root}")
    return root


def run_skufp(*arguments: str, cwd: Path, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m skufp` as a user would."""
    env = os.environ | {"COLUMNS": "100", "HF_HUB_OFFLINE": "1"} | environment
    command = [sys.executable, "-m", "skufp", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def skufp() -> Run:
    """The command line."""
    return run_skufp


def table_rows(page: str) -> dict[str, str]:
    """The cells of all two-column tables of a Markdown page, by their first cell, as Markdown shows them."""
    found: dict[str, str] = {}
    cells: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append("".join(child.content for child in token.children or []))
        elif token.type == "tr_close" and len(cells) == 2:
            found[cells[0]] = cells[1]
    return found


@pytest.fixture(scope="session")
def card_rows() -> Callable[[str], dict[str, str]]:
    """The two-column tables of a model card."""
    return table_rows
