"""Common spellings of split names, and the split of a product whose table names none."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from skufp.errors import UserError, nearest

TRAIN, DEV, VALIDATION, TEST = "train", "dev", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)  # a source's own; dev is a part of train
VALIDATION_SHARE = 0.2
UNKNOWN = ""
SPELLINGS = {
    TRAIN: ("train", "training", "trn", "learn", "learning"),
    DEV: ("dev", "devel", "development"),
    VALIDATION: ("validation", "validate", "validating", "valid", "val", "eval", "evaluation", "evaluate"),
    TEST: ("test", "testing", "tst"),
}
BY_SPELLING = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}
ENDINGS = ("set", "split", "data", "fold")  # "test set", "train_split"


def meaning(name: str) -> str:
    """Return train, dev, validation or test for a usual spelling of it, in any case; UNKNOWN for any other name."""
    plain = re.sub(r"[\W_]+", "", name.casefold())
    for ending in ENDINGS:
        if plain not in BY_SPELLING:
            plain = plain.removesuffix(ending)
    return BY_SPELLING.get(plain, UNKNOWN)


def refuse_other_splits(setting: str, names: Iterable[str], known: Sequence[str] = SPLITS) -> None:
    """Raise UserError, with the nearest name, if one of a setting's ``names`` is not among the ``known`` splits."""
    for name in names:
        if name not in known:
            meant = f" Did you mean '{meaning(name)}'?" if meaning(name) in known else nearest(name, known)
            raise UserError(f"{setting}: there is no split '{name}'.{meant}")


def splits_of(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return the split of every row of a table, UNKNOWN for an unknown name.

    ``rows`` are SKUs and the split's name; for an empty name, a hash of the SKU decides. In a table with
    ``validation``, ``dev`` is our dev, the part of train on which checkpoints are selected. In a table without
    ``validation``, as in train/dev/test, ``dev`` is the validation split.
    """
    found = [meaning(name) if name else split_of(sku) for sku, name in rows]
    named = {split for split, (_, name) in zip(found, rows, strict=True) if name}
    if DEV in named and VALIDATION not in named:
        return [VALIDATION if split == DEV else split for split in found]
    return found


def source_split(split: str) -> str:
    """Return the source's split that ``split`` is a part of: dev is carved out of train."""
    return TRAIN if split == DEV else split


def split_of(sku: str) -> str:
    """Put a fifth of the SKUs, by hash, into validation and the rest into train."""
    share = int(hashlib.sha256(sku.encode()).hexdigest()[:8], 16) / 0x100000000
    return VALIDATION if share < VALIDATION_SHARE else TRAIN


def not_asked(split: str) -> str:
    """Return the reason to leave out a row of a split that ``data.splits`` does not name."""
    return f"split {split} is not in data.splits"


def unknown(name: str) -> str:
    """Return the reason to leave out a row of an unknown split."""
    return f"unknown split '{name[:40]}': use {TRAIN}, {VALIDATION} or {TEST}"
