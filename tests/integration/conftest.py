"""One small chain, run once through the real command line, that several tests look at."""

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from skufp.__main__ import main

SMALL = (
    "data.source.pairs={train: 8, validation: 4, test: 3}", "model.training.steps=6", "stages.fingerprint.steps=6",
    "model=siglip_tiny", "model.training.skus_per_batch=8", "stages.evaluate.bootstrap=50", "trainer=cpu",
    "progress=false", "workers=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chain(tmp_path_factory, command, only) -> SimpleNamespace:
    """The finished default chain on a small generated catalogue: folder, settings, output, and each stage's folder.

    Tests may run further stages in the same folder; ``folders`` are always those of the default chain.
    """
    folder = tmp_path_factory.mktemp("chain")
    result = command(folder, *SMALL)
    assert result.code == 0, result.out + result.err
    folders = {path.name: only(folder, path.name) for path in (folder / "runs").iterdir() if any(path.glob("*"))}
    return SimpleNamespace(folder=folder, settings=SMALL, output=result.out, folders=folders)


@pytest.fixture(scope="session")
def beside(chain):
    """Lay links to stages of the chain into another folder's runs: they are done there, and what follows is apart."""

    def link(folder: Path, *stages: str) -> None:
        for stage in stages:
            (folder / "runs" / stage).mkdir(parents=True)
            (folder / "runs" / stage / chain.folders[stage].name).symlink_to(chain.folders[stage])

    return link


@pytest.fixture(scope="session")
def only():
    """Return the single finished folder of a stage."""

    def find(folder: Path, stage: str) -> Path:
        done = [p for p in (folder / "runs" / stage).iterdir() if (p / "manifest.json").exists()]
        assert len(done) == 1, done
        return done[0]

    return find


@pytest.fixture(scope="session")
def read():
    """Read JSON."""
    return lambda path: json.loads(Path(path).read_text())


@pytest.fixture(scope="session")
def command() -> Callable[..., SimpleNamespace]:
    """Run the command line in this process, whose imports are paid already: exit code, output, errors."""

    def run(folder: Path, *arguments: str) -> SimpleNamespace:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(folder)
            patch.setenv("COLUMNS", "100")
            patch.setattr(sys, "argv", ["skufp", *arguments])
            try:
                main()
            except SystemExit as leaving:
                code = int(leaving.code or 0)
        return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())

    return run
