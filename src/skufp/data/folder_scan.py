"""What lies under a folder, and which of its names can be written into a table."""

import os
from pathlib import Path

LINKED, CLOSED = "link to a folder: not followed", "folder that cannot be read"


def scan(root: Path) -> tuple[list[str], dict[str, str]]:
    """Return all files under ``root``, links that lead nowhere too, and the folders not entered with the reason.

    Names are relative to ``root``, their parts joined by "/", sorted part by part.
    """
    closed: dict[str, str] = {}

    def inside(path: str | bytes) -> str:
        return os.path.relpath(os.fsdecode(path), root).replace(os.sep, "/")

    def failed(error: OSError) -> None:
        closed[inside(error.filename)] = CLOSED

    files = []
    for folder, folders, names in os.walk(root, onerror=failed):
        files += [inside(os.path.join(folder, name)) for name in names]
        paths = [os.path.join(folder, name) for name in folders]
        closed |= {inside(path): LINKED for path in paths if os.path.islink(path)}
    return sorted(files, key=lambda name: name.split("/")), closed


def is_utf8(name: str) -> bool:
    """Say whether a file's name can be written into a table."""
    return name == printable(name)


def printable(name: str) -> str:
    """Return a file's name with bytes that are not UTF-8 spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
