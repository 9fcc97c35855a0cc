"""The ledger: hashes of files, stored by path, size, times and inode, so that no file is hashed twice.

A copied, moved or touched file keeps its hash. A file that was overwritten with equal size and reset time is detected
by its inode's change time (ctime). A file that changed within two seconds before it was hashed is not stored, since a
later change could leave the same times (git's "racy" files).
"""

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from skufp.compute.parts import LocalThreads

MISSING, UNREADABLE = "missing", "unreadable"  # in place of a hash
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use: FAT's two seconds
TABLE = "CREATE TABLE IF NOT EXISTS content (path BLOB PRIMARY KEY, state TEXT, hash TEXT) WITHOUT ROWID"
QUERY_SIZE = 500  # paths per query; SQLite allows at least 999
THREADS = 8
PORTION = 64  # files that a thread hashes at a time

T = TypeVar("T")


class Ledger:
    """Hashes of files, stored in the SQLite database ``file``; not stored if it is None or cannot be written.

    Several runs may share the file, and it may be deleted at any time. ``announce`` is called with the number of files
    and of bytes before they are hashed. ``files_hashed`` and ``bytes_hashed`` count the hashed files and bytes.
    """

    def __init__(
        self,
        file: Path | None,
        announce: Callable[[int, int], None] = lambda files, size: None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.file, self.announce, self.now = file, announce, now
        self.files_hashed = self.bytes_hashed = 0

    def hashes(self, paths: Iterable[str]) -> dict[str, str]:
        """Return every path's sha256; MISSING where there is no file, UNREADABLE where it cannot be opened."""
        absolute = {path: os.path.abspath(path) for path in paths}
        states = {path: _state(path) for path in absolute.values()}
        known = self._known([path for path, state in states.items() if state]) if any(states.values()) else {}
        found = {path: MISSING for path, state in states.items() if not state}
        found |= {path: value for path, (state, value) in known.items() if state == states[path]}
        todo = [path for path in states if path not in found]
        if todo:
            found |= self._hash(todo, states)
        return {path: found[where] for path, where in absolute.items()}

    def _hash(self, paths: list[str], states: dict[str, str]) -> dict[str, str]:
        sizes = sum(int(states[path].split()[0]) for path in paths)
        self.announce(len(paths), sizes)
        began = self.now()
        threads = LocalThreads(THREADS, ahead=2 * THREADS)  # hashing and reading let other threads run
        values = [value for part in threads.map(_hash_all, _portions(paths, PORTION)) for value in part]
        self.files_hashed += len(paths)
        self.bytes_hashed += sizes
        self._remember([
            (os.fsencode(path), states[path], value)
            for path, value in zip(paths, values, strict=True)
            if value != UNREADABLE and _settled(states[path], began) and _state(path) == states[path]
        ])  # fmt: skip
        return dict(zip(paths, values, strict=True))

    def _known(self, paths: list[str]) -> dict[str, tuple[str, str]]:
        """Return state and hash of the paths in the database."""

        def read(database: sqlite3.Connection) -> dict[str, tuple[str, str]]:
            found: dict[str, tuple[str, str]] = {}
            for part in _portions(paths, QUERY_SIZE):
                marks = ",".join("?" * len(part))
                query = f"SELECT path, state, hash FROM content WHERE path IN ({marks})"
                rows = database.execute(query, [os.fsencode(path) for path in part])
                found |= {os.fsdecode(path): (state, value) for path, state, value in rows}
            return found

        return self._in_database(read, {})

    def _remember(self, rows: list[tuple[bytes, str, str]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            with database:  # one transaction
                database.executemany("INSERT OR REPLACE INTO content VALUES (?, ?, ?)", rows)

        if rows:
            self._in_database(write, None)

    def _in_database(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return work(database), or ``otherwise`` without a database; a damaged file is deleted and made again."""
        if self.file is None:
            return otherwise
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.file, timeout=30)) as database:
                database.execute(TABLE)
                return work(database)
        except (sqlite3.OperationalError, OSError):  # a read-only folder, a full disk, locked for half a minute
            return otherwise
        except sqlite3.DatabaseError:
            with suppress(OSError):
                self.file.unlink()
            return otherwise


def _state(path: str) -> str:
    """Return size, times, inode and device of the file that ``path`` names or links to; "" if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""
    if not stat.S_ISREG(found.st_mode):
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_dev}"


def _settled(state: str, began: int) -> bool:
    """Return whether a file last changed so long before ``began`` that any later change would alter its times."""
    _, modified, changed, *_ = map(int, state.split())
    return began - max(modified, changed) > SETTLED_NS


def _portions(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _hash_all(paths: list[str]) -> list[str]:
    return [_sha256(path) for path in paths]


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return UNREADABLE
