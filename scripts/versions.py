"""The record of each stage's code beside its VERSION: scripts/versions.json. A test compares it with the code.

    python scripts/versions.py                         list the stages whose code changed since it was recorded
    python scripts/versions.py record                  record the stages whose VERSION was raised
    python scripts/versions.py record --same-result    … and all others: their results do not change
    python scripts/versions.py record --same-result embed index    … and these stages

A finished stage runs again when its VERSION rises. ``version: 1`` in conf/stages/<stage>.yaml (then 2, …) does so for
one of several stages with a common module. scripts/stage_code.py defines a stage's code.

After a merge, take either side of versions.json (git checkout --ours scripts/versions.json) and record again.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from source_text import digest
from stage_code import StageCode

RECORD = Path("scripts/versions.json")
REPOSITORY = Path(__file__).resolve().parents[1]


class RecordError(Exception):
    """A mistake in the record or in the arguments; the message says what to type next."""


@dataclass
class Changes:
    """``undecided``: stages whose code changed but not their VERSION, with files; ``unrecorded``: stages to record."""

    undecided: dict[str, list[str]] = field(default_factory=dict)
    unrecorded: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.undecided or self.unrecorded)


def current(root: Path) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return the record of the present code, and the files of every stage with their hashes."""
    code = StageCode(root)
    files = {stage: code.files(stage) for stage in sorted(code.stages)}
    stages = {
        stage: {"run": code.module_of(stage), "version": code.version(stage), "code": digest(json.dumps(own))}
        for stage, own in files.items()
    }
    everything = {name: own[name] for own in files.values() for name in own}
    return {"stages": stages, "files": dict(sorted(everything.items()))}, files


def read(root: Path) -> dict[str, Any]:
    """Read the record; empty if there is none."""
    path = root / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"stages": {}, "files": {}}
    except json.JSONDecodeError as error:
        raise RecordError(
            f"{RECORD}: no JSON ({error}).\n"
            f"After a merge: git checkout --ours {RECORD} && python scripts/versions.py record"
        ) from error


def write(root: Path, record: dict[str, Any]) -> None:
    """Write the record with a line for each stage and each file."""
    parts = []
    for part, values in record.items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
        parts.append(f"  {json.dumps(part)}: {{\n{lines}\n  }}")
    (root / RECORD).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def compare(old: dict[str, Any], new: dict[str, Any], files: dict[str, dict[str, str]]) -> Changes:
    """Return the changes between two records; raise RecordError for a VERSION that fell.

    A newly reached file is not a change by itself: the code that uses it has changed too, or a setting names it, and
    settings are in the key.
    """
    changes = Changes()
    for stage, is_now in new["stages"].items():
        was = old["stages"].get(stage)
        if was == is_now:
            continue
        changes.unrecorded.append(stage)
        if was is None:
            continue
        if is_now["version"] < was["version"] and is_now["run"] == was["run"]:
            raise RecordError(
                f"stage {stage}: VERSION is {as_text(is_now)}, and {as_text(was)} is recorded: it may only rise"
            )
        moved = [name for name, mark in files[stage].items() if old["files"].get(name, mark) != mark]
        if is_now["run"] != was["run"]:
            moved.insert(0, f"conf/stages/{stage}.yaml (run)")
        if moved and is_now["version"] == was["version"]:
            changes.undecided[stage] = moved
    return changes


def as_text(stage: dict[str, Any]) -> str:
    """Return a version as text: 3, or 3.1 if the stage's YAML has its own."""
    return ".".join(map(str, stage["version"]))


def explain(changes: Changes, record: dict[str, Any]) -> str:
    """Return a message on the changes and what to do."""
    lines = []
    if changes.undecided:
        lines += ["The code of these stages changed, and their VERSION did not:"]
        for stage, moved in changes.undecided.items():
            about = record["stages"][stage]
            lines.append(f"  {stage} (VERSION {as_text(about)} in {about['run']}): {', '.join(moved)}")
        lines += [
            "If a result changes, raise VERSION there (or `version:` in conf/stages/<stage>.yaml), then run",
            "  python scripts/versions.py record",
            "If no result changes, run",
            f"  python scripts/versions.py record --same-result {' '.join(changes.undecided)}",
        ]
    if rest := [stage for stage in changes.unrecorded if stage not in changes.undecided]:
        lines += [
            f"Raised, or reaching other files, and not recorded yet: {', '.join(rest)}. Run",
            "  python scripts/versions.py record",
        ]
    return "\n".join(lines)


def record(root: Path, same_result: list[str] | None) -> str:
    """Write the record again and return a message on the recorded stages.

    ``same_result`` names the stages whose code changed without changing results, [] for all of them. Raises RecordError
    for a changed stage that is neither named nor raised.
    """
    new, files = current(root)
    changes = compare(read(root), new, files)
    named = list(changes.undecided) if same_result == [] else same_result or []
    if unknown := sorted(set(named) - set(new["stages"])):
        raise RecordError(
            f"--same-result {' '.join(unknown)}: there is no such stage. Valid: {', '.join(new['stages'])}"
        )
    left = {stage: moved for stage, moved in changes.undecided.items() if stage not in named}
    if left:
        raise RecordError(explain(Changes(left), new))
    write(root, new)
    return f"{RECORD}: {', '.join(changes.unrecorded) or 'nothing changed'}"


def main(arguments: list[str] | None = None) -> int:
    """Compare or record; return the exit code: 1 if something needs recording, 2 for a mistake."""
    parser = argparse.ArgumentParser(description="The record of each stage's code beside its VERSION.")
    parser.add_argument("what", nargs="?", choices=("compare", "record"), default="compare")
    parser.add_argument(
        "--same-result", nargs="*", metavar="STAGE", help="these stages' results stay (none named: all)"
    )
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="the checkout (default: this one)")
    given = parser.parse_args(arguments)
    try:
        if given.what == "record":
            print(record(given.root, given.same_result))
            return 0
        new, files = current(given.root)
        changes = compare(read(given.root), new, files)
        print(explain(changes, new) if changes else "every stage's code is as recorded")
        return int(bool(changes))
    except RecordError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
