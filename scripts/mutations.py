"""Do the tests notice faults? Each row of a table plants one in a copy of the checkout and runs tests that should fail.

    python scripts/mutations.py                    all rows; exit code 1 where a fault survived
    python scripts/mutations.py fit.py escape      rows whose file or fault has one of these words
    python scripts/mutations.py --list             the table, without running anything

The tests of a row are first run without the fault: a test that fails anyway notices nothing. Takes minutes; `make test`
does not run it. The rows are in scripts/faults.py.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from faults import MUTATIONS, Mutation

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("src", "conf", "tests", "scripts", "experiments", "pyproject.toml", "Makefile", "README.md")
CAUGHT, SURVIVED = "caught", "SURVIVED"


def run_tests(tree: Path, tests: str, timeout: float) -> int:
    """Run tests of a tree until the first failure; return pytest's exit code, 1 for a failure."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("SKUFP_SHARED", str(REPOSITORY.parent / "shared"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", ""]
    command += [f"tests/{name}" for name in tests.split()]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run(command, cwd=tree, env=environment, check=False, timeout=timeout, **quiet).returncode
    except subprocess.TimeoutExpired:
        return 1  # a fault that makes a test hang counts as caught


def verdict(tree: Path, mutation: Mutation, passes: dict[str, bool], timeout: float) -> str:
    """Plant the fault, run its tests, restore the file; return the verdict."""
    path = tree / "src" / "skufp" / mutation.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(mutation.old) != 1:
        return f"not planted: {mutation.file} has the text {text.count(mutation.old)} times"
    if mutation.tests not in passes:
        passes[mutation.tests] = run_tests(tree, mutation.tests, timeout) == 0
    if not passes[mutation.tests]:
        return "not tried: its tests fail without the fault, too"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        code = run_tests(tree, mutation.tests, timeout)
    finally:
        path.write_text(text, encoding="utf-8")
    return {0: SURVIVED, 1: CAUGHT}.get(code, f"no answer: pytest ended with code {code}")


def chosen(words: Iterable[str]) -> list[Mutation]:
    """Return the rows that have one of the words, or all rows if there are no words."""
    wanted = [word.lower() for word in words]
    return [m for m in MUTATIONS if not wanted or any(w in f"{m.fault} {m.file}".lower() for w in wanted)]


def main() -> int:
    """Try the chosen rows; return 1 unless all are caught."""
    parser = argparse.ArgumentParser(description="Plant faults in a copy of the checkout and run the tests.")
    parser.add_argument("words", nargs="*", help="only rows whose file or fault has one of these words")
    parser.add_argument("--list", action="store_true", help="print the rows and run nothing")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the tests of a row (default: 600)")
    given = parser.parse_args()
    rows, missed, passes = chosen(given.words), 0, {}
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder) / "checkout"
        if not given.list:
            for part in (REPOSITORY / name for name in PARTS if (REPOSITORY / name).exists()):
                target = tree / part.name
                target.parent.mkdir(exist_ok=True)
                ignored = shutil.ignore_patterns("__pycache__", "results", "figures")
                shutil.copytree(part, target, ignore=ignored) if part.is_dir() else shutil.copy(part, target)
        for mutation in rows:
            result = "" if given.list else verdict(tree, mutation, passes, given.timeout)
            missed += not given.list and result != CAUGHT
            print(f"{result:<10}{mutation.file:<30}{mutation.fault}  [{mutation.tests}]", flush=True)
    if not given.list:
        print(f"{len(rows) - missed} of {len(rows)} caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
