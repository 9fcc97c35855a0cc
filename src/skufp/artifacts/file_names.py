"""The names of all files under a folder, in an order that does not depend on the machine."""

import os
from collections.abc import Iterable
from pathlib import Path


def files_under(root: Path, leave_out: Iterable[str | Path] = ()) -> list[str]:
    """Return every file under ``root`` by its name relative to it, parts joined by "/", sorted part by part.

    Links are followed, one that leads back to a folder above it excepted; one that leads nowhere counts as a file. The
    folders in ``leave_out`` are not entered, unless one of them is ``root`` itself.
    """
    top = os.path.realpath(root)
    skipped = {os.path.relpath(os.path.realpath(folder), top).replace(os.sep, "/") for folder in leave_out}
    found: list[str] = []
    folders: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while folders:
        inside, entered = folders.pop()
        with os.scandir(os.path.join(root, inside)) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if not entry.is_dir():
                    found.append(name)
                elif name in skipped:
                    continue
                elif not entry.is_symlink():
                    folders.append((name, entered))
                elif (chain := _follow(root, inside, entry.path, entered)) is not None:
                    folders.append((name, chain))
    return sorted(found, key=lambda name: name.split("/"))


def _follow(root: Path, inside: str, link: str, entered: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the real folders that a walk through ``link`` stands in, or None where it would go round in a circle."""
    chain = (*entered, os.path.realpath(os.path.join(root, inside)))
    target = os.path.realpath(link)
    if any(folder == target or folder.startswith(target.rstrip(os.sep) + os.sep) for folder in chain):
        return None
    return chain
