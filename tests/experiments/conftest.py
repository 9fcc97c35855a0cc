"""The modules of experiments/, which is a package of the checkout and no part of skufp."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scripts(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    """Those that the test module names in MODULES, with fewer resamples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY))
        modules = SimpleNamespace(
            **{name: importlib.import_module(f"experiments.{name}") for name in request.module.MODULES}
        )
        patch.setattr(modules.collect, "RESAMPLES", 200)
        yield modules
