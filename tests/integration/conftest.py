"""One small chain, run once through the real command line, that several tests look at."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

SMALL = (
    "data.source.pairs={train: 8, validation: 4, test: 3}", "model.training.steps=6", "stages.fingerprint.steps=6",
    "model.training.skus_per_batch=8", "stages.evaluate.bootstrap=50", "trainer=cpu", "progress=false", "workers=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def chain(tmp_path_factory, skufp) -> SimpleNamespace:
    """The finished default chain on a small generated catalogue: folder, settings, output."""
    folder = tmp_path_factory.mktemp("chain")
    result = skufp(*SMALL, cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return SimpleNamespace(folder=folder, settings=SMALL, output=result.stdout)


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
