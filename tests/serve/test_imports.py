"""The rooms that an answer needs import no framework before they use it: `import skufp` and a bundle open quickly."""

import subprocess
import sys

HEAVY = ("torch", "hydra", "omegaconf", "pytorch_lightning", "transformers")


def test_the_rooms_of_an_answer_import_nothing_heavy() -> None:
    code = (
        "import importlib, pkgutil, sys, skufp\n"
        "rooms = ('serve', 'retrieval', 'artifacts', 'actions')\n"
        "for room in rooms:\n"
        "    package = importlib.import_module(f'skufp.{room}')\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
