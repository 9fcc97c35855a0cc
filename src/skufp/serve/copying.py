"""Copying a bundle to a folder, atomically."""

import os
import shutil
from pathlib import Path

from skufp.artifacts.part_list import FILE, PartList
from skufp.errors import UserError


def check_target(target: Path, photos: str | None = None) -> None:
    """Raise UserError for a folder that holds anything but a bundle, and for a folder inside ``photos``."""
    if photos and target.resolve().is_relative_to(Path(photos).resolve()):
        raise UserError(
            f"export_to={target} lies in data.root={photos}, where it would count as a change of the photos: choose"
            " another folder"
        )
    if target.exists() and not target.is_dir():
        raise UserError(f"export_to={target}: there is a file of this name: choose another folder")
    if target.is_dir() and any(target.iterdir()) and not (target / FILE).is_file():
        raise UserError(f"export_to={target}: the folder holds something else than a bundle: choose an empty folder")


def copy_bundle(source: Path, target: Path) -> None:
    """Copy the bundle in ``source`` to ``target``, in place of the bundle that may be there.

    The copy is made beside ``target`` and then renamed, so a reader finds the old bundle or the new one. Raises
    UserError where ``target`` holds something else than a bundle, or cannot be written.
    """
    check_target(target)
    listed, target = PartList.read(source), target.absolute()
    new, old = (target.parent / f".{target.name}.{state}" for state in ("building", "old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        for name in (file for part in listed.parts.values() for file in part.files):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, new / name)
        shutil.copyfile(source / FILE, new / FILE)
        listed.check(new)
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise UserError(
            f"export_to={target}: it cannot be written ({error.strerror}): choose another folder"
        ) from error
    shutil.rmtree(old, ignore_errors=True)
