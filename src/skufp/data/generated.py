"""The generated catalogue as a source: drawn once, then read as a folder in DeepFashion2 layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skufp.artifacts.products import KEYS, fields_of
from skufp.artifacts.records import CropRecord, Skipped
from skufp.data.captions import template_caption
from skufp.data.deepfashion2 import DeepFashion2
from skufp.data.sources import Source

STRUCTURE = (*KEYS, "pair_id", "style", "category_id", "category_name")  # columns of attributes.jsonl also in records


class Generated(Source):
    """The seeded generated catalogue, drawn into ``<prepare>/generated`` in DeepFashion2 layout."""

    def __init__(self, seed: int = 0, pairs: dict[str, int] | None = None) -> None:
        self.seed, self.pairs = seed, dict(pairs) if pairs else None

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return none: everything is drawn from the seed."""
        return {}

    def open(self, work: Path, workers: int) -> None:
        """Draw the catalogue, unless an earlier attempt finished drawing it."""
        from skufp.data.synthetic import CatalogueParams, generate

        params = CatalogueParams(self.seed, self.pairs) if self.pairs else CatalogueParams(self.seed)
        self.root = work / "generated"
        drawn = self.root / ".drawn"
        if not drawn.exists():
            generate(self.root, params, workers)
            drawn.touch()
        self.layout = DeepFashion2(str(self.root))

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Read the drawn items; prompts also name colours and pattern, which are known here."""
        records, skipped = self.layout.read(split)
        looks = {row["sku_id"]: _look(row) for row in self._rows(split)}
        for r in records:
            if look := looks.get(r.sku_id):
                r.text = template_caption(r.domain, f"{look} {r.category_name}", r.occlusion, r.viewpoint)
        return records, skipped

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return the items drawn for other splits."""
        return self.layout.rest(splits)

    def size(self) -> int:
        """Return the number of items that were drawn."""
        return self.layout.size()

    def fields(self, split: str) -> dict[str, dict[str, str]]:
        """Return the attributes that every SKU was drawn with."""
        return {row["sku_id"]: fields_of(row, STRUCTURE) for row in self._rows(split)}

    def _rows(self, split: str) -> list[dict[str, Any]]:
        rows = map(json.loads, (self.root / "attributes.jsonl").read_text(encoding="utf-8").splitlines())
        return [row for row in rows if row["split"] == split]


def _look(row: dict[str, Any]) -> str:
    """Return e.g. "navy and white striped": the difference of a generated style from its siblings."""
    second = f" and {row['second_colour']}" if row["colour_block"] and row["second_colour"] else ""
    pattern = f" {row['pattern']}" if row["pattern"] != "solid" else ""
    return f"{row['colour']}{second}{pattern}"
