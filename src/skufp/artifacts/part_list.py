"""bundle.json: the parts of a bundle, each with its format and with every file's size and sha256."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from skufp.artifacts.file_names import files_under
from skufp.artifacts.folder import write_json
from skufp.errors import UserError

FILE = "bundle.json"
FORMAT, VERSION = "skufp-bundle", 1


@dataclass(frozen=True)
class PartFile:
    """A file's expected ``size`` in bytes and ``sha256`` in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """A part's ``format``, the ``version`` of that format, and its files by their names in the bundle ("/" inside)."""

    format: str
    version: int
    files: dict[str, PartFile]


@dataclass(frozen=True)
class PartList:
    """The parts by name, and ``about``: the bundle's metadata (skufp's version, numbers of SKUs and views)."""

    parts: dict[str, Part]
    about: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write bundle.json into ``folder``."""
        parts = {name: asdict(part) for name, part in self.parts.items()}
        write_json(folder / FILE, {"format": FORMAT, "version": VERSION, "about": self.about, "parts": parts})

    @classmethod
    def read(cls, folder: Path) -> "PartList":
        """Read bundle.json; UserError where it is damaged, of another format, or of a newer version."""
        path = folder / FILE
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            kind, version = given["format"], int(given["version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). {AGAIN}") from error
        if kind != FORMAT:
            raise UserError(f"{path}: the format is {kind!r}, not {FORMAT!r}. {AGAIN}")
        if version > VERSION:
            raise UserError(
                f"{path}: this bundle has format {version}, and this skufp reads formats up to {VERSION}."
                " Update it: pip install --upgrade skufp"
            )
        try:
            return cls({name: _part(part) for name, part in given["parts"].items()}, dict(given["about"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}: {error}). {AGAIN}") from error

    def check(self, folder: Path, verify: bool = False, only: str | None = None) -> None:
        """Raise UserError for the first file that is missing, of another size or, with ``verify``, of other content.

        ``only`` names the one part to check.
        """
        for name, part in self.parts.items():
            for file, wanted in part.files.items() if only in (None, name) else ():
                if fault := _fault(folder / file, wanted, verify):
                    raise UserError(f"{folder}: the bundle's part '{name}' is damaged: {file} {fault}. {AGAIN}")


AGAIN = "Copy the bundle again, or make it again: python -m skufp stage=bundle export_to=<folder>"


def list_part(folder: Path, name: str, kind: str, version: int) -> Part:
    """Return the part whose files lie in ``folder``/``name``, with their sizes and hashes."""
    files = {f"{name}/{file}": _read(folder / name / file) for file in files_under(folder / name)}
    return Part(kind, version, files)


def _read(path: Path) -> PartFile:
    with path.open("rb") as file:
        return PartFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _part(given: dict[str, Any]) -> Part:
    files = {str(name): PartFile(int(f["size"]), str(f["sha256"])) for name, f in given["files"].items()}
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise ValueError(f"a file outside the bundle: {name}")
    return Part(str(given["format"]), int(given["version"]), files)


def _fault(path: Path, wanted: PartFile, verify: bool) -> str:
    try:
        size = path.stat().st_size
        if not path.is_file():
            return "is no file"
        if size != wanted.size:
            return f"has {size:,} bytes instead of {wanted.size:,}"
        if verify and _read(path).sha256 != wanted.sha256:
            return "has another sha256 than bundle.json says"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""
