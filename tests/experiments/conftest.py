"""The scripts of experiments/ as modules."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(scope="module")
def scripts(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    """Those that the test module names in MODULES; they find each other as scripts do."""
    names = request.module.MODULES
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS))
        modules = SimpleNamespace(**{name: importlib.import_module(name) for name in names})
        patch.setattr(modules.collect, "RESAMPLES", 200)
        yield modules
    for name in names:
        sys.modules.pop(name, None)
