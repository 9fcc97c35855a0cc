"""The DataModule that streams image shards: P x K batches for training, full passes for evaluation."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from skufp.artifacts.records import CATALOG, QUERY, CropRecord, read_records
from skufp.data.augment import PhonePhoto
from skufp.data.captions import ATTRIBUTES, TEMPLATE
from skufp.data.counterfactuals import read_counterfactuals
from skufp.data.full_pass import full_pass
from skufp.data.place import ALONE, Place
from skufp.data.shards import read_index, sample_count
from skufp.data.sku_batches import SkuBatches
from skufp.errors import UserError
from skufp.models.batches import PhotoBatch, SkuPhotoBatch
from skufp.models.preprocessing import Preprocessing

NO_LABELS = (
    "data.text=attributes: no SKU of train has labels (colour, sleeve, neckline, pattern, fabric, …) for a text."
    "\nGive them as columns of the manifest (data=catalogue), or as products.jsonl in data.root, a line per SKU:"
    ' {"split": "train", "sku_id": "…", "colour": "red", "fabric": "cotton"}. Or train with data.text=template'
)


class ImageDataModule(pl.LightningDataModule):
    """Streams the prepare stage's image shards.

    ``inputs['prepare']`` is its folder. ``training`` holds the batch settings of the model's recipe and optionally, in
    ``negatives``, a views folder whose counterfactuals join training. ``augmentation`` is None for none. Validation
    passes over dev, if there is one. ``text`` is data.text: a SKU without labels keeps its template. Raises UserError
    if ``text`` is attributes and no training SKU has any.
    """

    def __init__(
        self, inputs: Mapping[str, str], training: Mapping[str, Any], batch_size: int, seed: int, steps: int,
        workers: int = 2, augmentation: PhonePhoto | None = None, text: str = TEMPLATE,
    ) -> None:  # fmt: skip
        super().__init__()
        self.prepared = Path(inputs["prepare"])
        self.shards = self.prepared / "shards"
        self.training, self.augmentation = training, augmentation
        self.batch_size, self.seed, self.steps, self.workers = batch_size, seed, steps, workers
        self.can_train = bool(paired_shards(self.shards, "train"))
        self.expected = {"gallery": sample_count(self.shards, f"dev-{CATALOG}"),
                         "query": sample_count(self.shards, f"dev-{QUERY}")}  # fmt: skip
        self.has_dev_queries = self.expected["query"] > 0
        self.text = text
        if text == ATTRIBUTES and self.can_train and not any(r.rich_text for r in self._records("train")):
            raise UserError(NO_LABELS)
        self.counterfactuals: dict[str, list[bytes]] | None = None
        if training.get("negatives"):
            skus = {r.sku_id for r in self._records("train")}
            self.counterfactuals = read_counterfactuals(Path(training["negatives"]), "train", skus)

    preprocessing: Preprocessing

    def module_arguments(self) -> dict[str, Any]:
        """Return the LightningModule's arguments that depend on the data: none."""
        return {}

    def attach(self, module: Any) -> None:
        """Use the encoder's preprocessing, so that training, indexing and serving share it."""
        self.preprocessing = module.encoder.preprocessing

    def _records(self, split: str) -> list[CropRecord]:
        path = self.prepared / f"{split}_image_text.jsonl"
        return read_records(path) if path.exists() else []

    def batches(self, steps: int, place: Place = ALONE) -> SkuBatches:
        """Return ``steps`` P x K batches, the share of a process."""
        t = self.training
        skus = len({r.sku_id for r in self._records("train")})
        return SkuBatches(
            paired_shards(self.shards, "train"), self.preprocessing, self.augmentation, t["skus_per_batch"],
            t["images_per_sku"], t["siblings"], steps, self.seed, skus, place.rank, place.world, self.counterfactuals,
            self.text, place.start,
        )  # fmt: skip

    def train_dataloader(self) -> DataLoader[SkuPhotoBatch]:
        """Return P x K batches; one epoch is all of the recipe's steps."""
        batches = self.batches(self.steps, Place.of(self.trainer))
        return DataLoader(batches, batch_size=None, num_workers=min(self.workers, self.steps))

    def first_batches(self) -> Iterator[SkuPhotoBatch]:
        """Yield a few batches, for encoders that start from data."""
        yield from self.batches(8)

    def val_dataloader(self) -> DataLoader[PhotoBatch]:
        """Return one deterministic pass over dev's catalogue and query crops, this process's share."""
        names = [f"dev-{CATALOG}", f"dev-{QUERY}"]
        place = Place.of(self.trainer)
        return full_pass(self.shards, names, self.preprocessing, self.batch_size, self.workers, place.rank, place.world)


def paired_shards(folder: Path, split: str) -> list[list[Path]]:
    """Return for every shard number of ``split`` its catalogue and query files."""
    index = read_index(folder)
    by_number: dict[int, list[Path]] = {}
    for domain in (CATALOG, QUERY):
        entry = index.get(f"{split}-{domain}")
        for shard in entry["shards"] if entry else []:
            by_number.setdefault(shard["number"], []).append(folder / shard["file"])
    return [by_number[number] for number in sorted(by_number)]
