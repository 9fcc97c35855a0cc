"""The names of all files under a folder, in an order that does not depend on the machine."""

import os
from collections.abc import Iterable
from pathlib import Path

CIRCLE, CLOSED = "link back to a folder above it: not followed", "folder that cannot be read"


def files_under(root: Path, leave_out: Iterable[str | Path] = ()) -> list[str]:
    """Return every file under ``root``; see scan()."""
    return scan(root, leave_out)[0]


def scan(root: Path, leave_out: Iterable[str | Path] = ()) -> tuple[list[str], dict[str, str]]:
    """Return every file under ``root``, and the folders that were not entered with the reason.

    Names are relative to ``root``, their parts joined by "/", sorted part by part. Links are followed, except a link to
    a folder above it; a broken link counts as a file. The folders in ``leave_out`` are skipped, except ``root`` itself.
    """
    top = os.path.realpath(root)
    passed_over = {os.path.relpath(os.path.realpath(folder), top).replace(os.sep, "/") for folder in leave_out}
    found: list[str] = []
    closed: dict[str, str] = {}
    folders: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while folders:
        inside, entered = folders.pop()
        try:
            with os.scandir(os.path.join(root, inside)) as listing:
                entries = list(listing)
        except OSError:
            closed[inside or "."] = CLOSED
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if not entry.is_dir():
                found.append(name)
            elif name in passed_over:
                continue
            elif not entry.is_symlink():
                folders.append((name, entered))
            elif (chain := _follow(root, inside, entry.path, entered)) is not None:
                folders.append((name, chain))
            else:
                closed[name] = CIRCLE
    return sorted(found, key=lambda name: name.split("/")), closed


def _follow(root: Path, inside: str, link: str, entered: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the real folders on the path of a walk through ``link``, or None if the walk would be circular."""
    chain = (*entered, os.path.realpath(os.path.join(root, inside)))
    target = os.path.realpath(link)
    if any(folder == target or folder.startswith(target.rstrip(os.sep) + os.sep) for folder in chain):
        return None
    return chain
