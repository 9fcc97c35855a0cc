"""skufp: exact-product visual search for fashion from one vector per SKU."""

import os
from typing import TYPE_CHECKING

from skufp.version import __version__ as __version__

if TYPE_CHECKING:
    from skufp.recipe import run as run
    from skufp.serve.bundle import open_bundle as open  # noqa: F401
    from skufp.serve.similar import search_similar as search_similar

# A batch-1 forward on two threads takes six times as long while idle OpenMP threads spin;
# this has to be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import skufp` alone stays light."""
    if name == "open":
        from skufp.serve.bundle import open_bundle

        return open_bundle
    if name == "search_similar":
        from skufp.serve.similar import search_similar

        return search_similar
    if name == "run":
        from skufp.recipe import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
