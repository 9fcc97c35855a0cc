"""Bulk description of a catalogue's products: a reader, a mapper and a writer with bounded look-ahead.

The reader hashes a product's photos and checks whether it is done; the mapper describes the products that are not; the
writer journals the results in batches, in the order of the products. A killed run resumes and ends with the same bytes.
The pattern (reader, mapper, writer) is that of clip-retrieval's inference.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skufp.catalogue.described import Described
from skufp.catalogue.journal import ContentCache, ProductJournal, content_key
from skufp.compute.parts import LocalThreads
from skufp.errors import UserError

JOURNAL, CACHE, DESCRIBED, FAILED = "journal", "cache", "described", "failed"  # the sources of a run's products
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Item:
    """One product to describe: its photos, main photo first, and the other inputs of its row (JSON)."""

    sku_id: str
    photos: Sequence[Path]
    inputs: Mapping[str, Any] = field(default_factory=dict)


def reason_of(error: Exception) -> str:
    """Return an error in one line that is the same in every run (without memory addresses)."""
    text = _ADDRESS.sub("", " ".join(str(error).split()))
    return text if isinstance(error, UserError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


class Bulk:
    """Describes products and keeps a journal of them.

    ``describe`` may be called from ``concurrency`` threads at once. Its exceptions become error rows of their products;
    only Ctrl-C ends the run. ``settings`` and ``encoder`` are part of every product's key (see content_key).
    """

    def __init__(
        self,
        describe: Callable[[Item], Described],
        journal: ProductJournal,
        cache: ContentCache,
        settings: Mapping[str, Any],
        encoder: str,
        concurrency: int = 1,
        look_ahead: int = 0,
        batch: int = 16,
    ) -> None:
        if concurrency < 1 or batch < 1:
            raise UserError(f"concurrency={concurrency}, batch={batch}: both must be at least 1")
        self.describe, self.journal, self.cache = describe, journal, cache
        self.settings, self.encoder = settings, encoder
        self.concurrency, self.batch = concurrency, batch
        self.look_ahead = max(look_ahead or 4 * concurrency, concurrency)
        self.tally: Counter[str] = Counter()
        self.products: list[Described] = []

    def run(self, items: Sequence[Item], advance: Callable[[int], None] = lambda count: None) -> list[Described]:
        """Describe ``items`` and return the products in their order; ``advance`` is called after each product.

        ``products`` and ``tally`` (of JOURNAL, CACHE, DESCRIBED and FAILED) are updated during the run, so that an
        interrupted run can write its results. Raises UserError where two items are the same product.
        """
        if twice := [sku for sku, count in Counter(item.sku_id for item in items).items() if count > 1]:
            raise UserError(
                f"the same product more than once: {', '.join(twice[:5])}; give each its photos in one item"
            )
        self.tally, self.products = Counter(), []
        pending: list[tuple[str, Described]] = []
        try:
            threads = LocalThreads(self.concurrency, self.look_ahead, waits=False, name="describe")
            with closing(threads.map(self._one, items)) as results:
                for origin, key, product in results:
                    self.tally[origin] += 1
                    self.products.append(product)
                    if origin != JOURNAL:
                        pending.append((key, product))
                    if len(pending) >= self.batch:
                        self._flush(pending)
                    advance(1)
        finally:
            self._flush(pending)
        return self.products

    def _flush(self, pending: list[tuple[str, Described]]) -> None:
        if pending:
            self.journal.append(pending)
            pending.clear()

    def _one(self, item: Item) -> tuple[str, str, Described]:
        """Return the product's source (JOURNAL, CACHE, DESCRIBED or FAILED), its key, and the product."""
        key = ""
        try:
            key = content_key(item.sku_id, item.photos, item.inputs, self.settings, self.encoder)
            if done := self.journal.find(item.sku_id, key):
                return JOURNAL, key, done
            if done := self.cache.get(item.sku_id, key):
                return CACHE, key, done
            product = self.describe(item)
            if product.sku_id != item.sku_id:
                raise ValueError(f"described '{product.sku_id}' instead of '{item.sku_id}'")
            self.cache.put(key, product)
            return (FAILED if product.error else DESCRIBED), key, product
        except Exception as error:  # a bad product becomes an error row; the batch goes on
            return FAILED, key, Described.failed(item.sku_id, reason_of(error))
