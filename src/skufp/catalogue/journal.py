"""Storage that survives a kill: atomic files, the journal `products.jsonl`, and a cache by content."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skufp.catalogue.described import Described

CACHE_VERSION = 1  # raised when a product's row, or the way products are described, changes


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically: readers see the old file or the new file, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only the owner may read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def always_at_the_end(write: Callable[[], None]) -> Iterator[None]:
    """Call ``write`` when the block ends: normally, on an error, and on Ctrl-C, which is then raised again."""
    try:
        yield
    finally:
        write()


def _line(row: Mapping[str, Any]) -> bytes:
    # a lone surrogate (a file name that is not UTF-8) is written as its JSON escape
    return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


class ProductJournal:
    """Append-only JSONL of described products, each with the key of its content.

    Reading truncates a last line that a kill left incomplete, and skips lines that are not products. ``dropped`` names
    both: line number and reason. Of several lines for a product the last counts. Not for two processes at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped: list[str] = []
        self._products: dict[str, tuple[str, Described]] = {}
        if path.exists():
            self._load(path.read_bytes())

    def _load(self, data: bytes) -> None:
        *lines, torn = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                product = Described.from_dict(row)
                self._products[product.sku_id] = (row["key"], product)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.dropped.append(f"line {number}: no product ({type(error).__name__})")
        if torn:
            self.dropped.append(f"line {len(lines) + 1}: torn after {len(torn)} bytes")
            with self.path.open("r+b") as file:
                file.truncate(len(data) - len(torn))

    def __len__(self) -> int:
        return len(self._products)

    def find(self, sku_id: str, key: str) -> Described | None:
        """Return a product that was described from the same content, or None.

        An error is not a result: a failed product is tried again.
        """
        found_key, product = self._products.get(sku_id, ("", None))
        return product if product and found_key == key and not product.error else None

    def append(self, rows: Iterable[tuple[str, Described]]) -> None:
        """Add (key, product) rows in one write and wait until they are on the disk."""
        rows = list(rows)
        content = b"".join(_line({"key": key, **product.to_dict()}) for key, product in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            start, left = file.tell(), memoryview(content)
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except BaseException:  # a full disk, Ctrl-C: all of the batch or nothing
                file.truncate(start)
                raise
        self._products.update((product.sku_id, (key, product)) for key, product in rows)


def content_key(
    sku_id: str, photos: Iterable[Path], inputs: Mapping[str, Any], settings: Mapping[str, Any], encoder: str
) -> str:
    """Return a hash of everything that determines a product's row, 64 hexadecimal digits.

    Of the photos, their bytes and order count, and their names only if ``inputs`` has them. ``inputs`` is the product's
    data from the manifest and earlier stages, ``settings`` are common to all products (vocabulary, language model,
    prompts, seed), ``encoder`` is the hash of the image encoder. Raises OSError where a photo cannot be read and
    TypeError where a value is not JSON.
    """
    digests = [hashlib.sha256(photo.read_bytes()).hexdigest() for photo in photos]
    parts = [CACHE_VERSION, sku_id, digests, inputs, settings, encoder]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class ContentCache:
    """Described products in a folder, by the key of their content: a rerun describes only changed products.

    Safe for concurrent threads and processes: files are written atomically, and equal keys hold equal rows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def get(self, sku_id: str, key: str) -> Described | None:
        """Return the product stored under ``key``, or None if it is absent or unreadable."""
        try:
            product = Described.from_dict(json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return product if product.sku_id == sku_id else None

    def put(self, key: str, product: Described) -> None:
        """Store ``product``, unless it is an error: a failed product is tried again."""
        if not product.error:
            write_whole(self._path(key), _line(product.to_dict()))
