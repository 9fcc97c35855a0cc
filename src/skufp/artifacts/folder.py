"""Stage folders: a manifest written last, an atomic rename, and journals that survive a kill."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass
class Manifest:
    """The record of a finished folder's inputs."""

    stage: str
    key: str
    inputs: dict[str, str]
    config: dict[str, Any]
    code_version: str
    stage_version: int
    seed: int
    wall_seconds: float = 0.0
    finished: str = ""
    python: str = ""
    schema: int = SCHEMA
    outside: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """Return the manifest of a finished folder, or None if it is absent or unreadable."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder``."""
        write_json(folder / MANIFEST, asdict(self))


def work_folder(final: Path) -> Path:
    """Return the folder that a stage works in before it is renamed to ``final``."""
    return final.parent / f".{final.name}.building"


@contextmanager
def building(final: Path, manifest: Manifest, resume: bool) -> Iterator[Path]:
    """Yield a working folder beside ``final``; on success write the manifest and rename it into place.

    After a failure or a kill the working folder stays. With ``resume`` the next attempt reuses it (the stage then
    continues from its journal); otherwise the next attempt starts empty.
    """
    work = work_folder(final)
    if work.exists() and not resume:
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    yield work
    manifest.wall_seconds = round(time.monotonic() - start, 2)
    manifest.finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    manifest.python = sys.version.split()[0]
    manifest.write(work)
    if final.exists():  # a folder whose manifest is missing or of another schema
        shutil.rmtree(final)
    os.replace(work, final)


def find_folder(place: Path, label: str, key: str) -> Path:
    """Return the stage folder of ``key`` in ``place``, finished or begun, with any label; else ``<label>-<key>``.

    The label is for people: a stage is not computed again because its label changed.
    """
    named = place / f"{label}-{key}"
    finished = [named, *sorted(place.glob(f"*-{key}"))]
    for folder in finished:
        if (manifest := Manifest.read(folder)) is not None and manifest.key == key:
            return folder
    begun = [folder.name.removeprefix(".").removesuffix(".building") for folder in place.glob(f".*-{key}.building")]
    return named if named.name in begun or not begun else place / min(begun)


class Journal:
    """Append-only JSONL of finished items; a line torn by a kill is ignored and overwritten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self._load()

    def _load(self) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        self.rows = [json.loads(line) for line in whole.splitlines()]
        if len(whole) != len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Add ``rows`` and flush them to the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        self.rows.extend(rows)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
