"""Reading a source with a full account: every row is kept, or left out with a reason, and the sum is checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skufp.artifacts.records import CropRecord, Skipped
from skufp.artifacts.split_names import refuse_other_splits


class MissingSplitError(Exception):
    """The source has no such split, or it has no labels."""


class UnaccountedRowsError(RuntimeError):
    """Rows are neither kept nor left out with a reason, or are counted twice: a bug in skufp, not in the data."""


class Readable(Protocol):
    """The interface of a source; skufp.data.sources.Source documents the methods."""

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]: ...  # noqa: D102
    def rest(self, splits: Sequence[str]) -> list[Skipped]: ...  # noqa: D102
    def notes(self, splits: Sequence[str]) -> list[Skipped]: ...  # noqa: D102
    def size(self) -> int: ...  # noqa: D102


@dataclass
class Reading:
    """The account of a source's ``rows``: records, rows left out, and rows kept with a note.

    ``absent`` has the reason for every requested split without rows.
    """

    rows: int
    records: list[CropRecord] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    noted: list[Skipped] = field(default_factory=list)


def read_source(source: Readable, splits: Sequence[str]) -> Reading:
    """Read ``splits``, and account for every row of the source, those of other splits too.

    Raises UserError for a name that is no split, and UnaccountedRowsError where the sum is not the source's size.
    """
    requested = list(dict.fromkeys(splits))
    refuse_other_splits("data.splits", requested)
    reading = Reading(0)
    for name in requested:
        try:
            records, skipped = source.read(name)
        except MissingSplitError as error:
            reading.absent[name] = str(error)
            continue
        if not records and not skipped:
            reading.absent[name] = "it is empty"
        reading.records += records
        reading.skipped += skipped
    reading.skipped += source.rest(requested)
    reading.noted = source.notes(requested)
    reading.rows = source.size()
    balance(type(source).__name__, reading.rows, len(reading.records), reading.skipped)
    return reading


def left_out(skipped: Iterable[Skipped]) -> int:
    """Return the number of rows in ``skipped``."""
    return sum(row.count for row in skipped)


def balance(what: str, rows: int, kept: int, skipped: Sequence[Skipped]) -> None:
    """Raise UnaccountedRowsError unless every one of ``rows`` is either kept or left out."""
    explained = left_out(skipped)
    if rows != kept + explained:
        raise UnaccountedRowsError(
            f"{what}: {rows} rows came in, {kept} are kept and {explained} are left out with a reason:"
            f" {abs(rows - kept - explained)} {'vanished' if rows > kept + explained else 'are counted twice'}."
            " This is a fault of skufp; please report it with these numbers"
        )
