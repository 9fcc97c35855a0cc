"""A small prepared folder with real pictures and shards, shared by the tests of this room."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CropRecord, sku_metadata, write_records
from skufp.data.shards import write_image_shards


@dataclass
class PreparedFolder:
    """Records in the order of the JSONL, and the folder that holds crops and shards."""

    root: Path
    records: list[CropRecord]

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    def of(self, split: str) -> list[CropRecord]:
        return [r for r in self.records if r.split == split]


def make_record(split: str, pair: int, style: int, domain: str, number: int, pool: str = "") -> CropRecord:
    sku = f"{pair:06d}_{style:02d}_01"
    return CropRecord(
        split=split, sku_id=sku, pair_id=pair, style=style, category_id=1, category_name="short sleeve top",
        domain=domain, image_path=f"{split}/{domain}/{sku}/{number:06d}_item1.jpg", orig_image_path=f"{number}.jpg",
        image_id=f"{number:06d}", item_idx=1, bbox=None, occlusion=1, viewpoint=2, text=f"text of {sku}", pool=pool,
        rich_text=f"labels of {sku}" if pair % 2 else "",
    )  # fmt: skip


def _records() -> list[CropRecord]:
    """Train: 5 pairs of 1-3 styles; every SKU has 1-4 views, most have learnt and held-out queries. Dev: 2 pairs."""
    records: list[CropRecord] = []
    for split, styles in (("train", [3, 1, 2, 3, 1]), ("dev", [1, 2])):
        for pair, count in enumerate(styles, 1):
            for style in range(1, count + 1):
                seed = pair * 10 + style + (split == "dev") * 100
                for domain, views in (("catalog", 1 + seed % 4), ("query", seed % 3)):
                    for i in range(views):
                        pool = ("learn", "held_out")[i % 2] if (split, domain) == ("train", "query") else ""
                        records.append(make_record(split, pair, style, domain, len(records) + 1, pool))
    return sorted(records, key=lambda r: (r.split, r.domain, r.pair_id, r.sku_id, r.view_id))


@pytest.fixture(scope="session")
def record() -> Callable[..., CropRecord]:
    """Make a record: split, pair, style, domain, image number."""
    return make_record


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedFolder:
    """Thirty-odd crops; a picture's grey level is its image number, so a test can tell which one it got."""
    root, records = tmp_path_factory.mktemp("prepared"), _records()
    for r in records:
        (root / r.image_path).parent.mkdir(parents=True, exist_ok=True)
        grey = np.full((20, 16, 3), 3 * int(r.image_id), np.uint8)
        Image.fromarray(grey).save(root / r.image_path, quality=95)
    for split in ("train", "dev"):
        rows = [r for r in records if r.split == split]
        write_records(root / f"{split}_image_text.jsonl", rows)
        write_json(root / f"{split}_sku_metadata.json", sku_metadata(rows))
    write_image_shards(root, records, shard_size=8)
    return PreparedFolder(root, records)
