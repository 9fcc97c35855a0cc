"""The image DataModule: counts, pairing, and one preprocessing for all."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skufp.artifacts.records import write_records
from skufp.data.image_datamodule import ImageDataModule, paired_shards
from skufp.data.shards import write_image_shards
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

TRAINING = {"skus_per_batch": 3, "images_per_sku": 2, "siblings": 2}


def _module(root: Path, **changes: Any) -> ImageDataModule:
    return ImageDataModule({"prepare": str(root)}, TRAINING, batch_size=4, seed=0, steps=5, workers=0, **changes)


@pytest.fixture
def data(prepared: Any) -> ImageDataModule:
    module = _module(prepared.root)
    module.attach(SimpleNamespace(encoder=SimpleNamespace(preprocessing=Preprocessing(8))))
    return module


def test_counts_are_those_of_dev(data: ImageDataModule, prepared: Any) -> None:
    dev = prepared.of("dev")
    assert data.expected["gallery"] == sum(r.domain == "catalog" for r in dev)
    assert data.expected["query"] == sum(r.domain == "query" for r in dev)
    assert data.has_dev_queries
    assert data.can_train


def test_training_takes_the_steps_and_the_encoders_preprocessing(data: ImageDataModule) -> None:
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(loader) == len(batches) == 5
    assert {b["pixels"].shape for b in batches} == {(6, 3, 8, 8)}


def test_validation_sees_dev_once(data: ImageDataModule, prepared: Any) -> None:
    metas = [m for batch in data.val_dataloader() for m in batch["meta"]]
    assert sorted(m["row"] for m in metas) == list(range(len(prepared.of("dev"))))
    assert {m["split"] for m in metas} == {"dev"}


def test_the_kind_of_text_reaches_the_batches(prepared: Any) -> None:
    module = _module(prepared.root, text="attributes")
    module.attach(SimpleNamespace(encoder=SimpleNamespace(preprocessing=Preprocessing(8))))
    texts = {text for batch in module.batches(5) for text in batch["text"]}
    assert texts <= {r.rich_text or r.text for r in prepared.of("train")}
    assert any(text.startswith("labels of") for text in texts)


def test_labels_that_nobody_gave_are_told(prepared: Any, tmp_path: Path) -> None:
    records = [replace(r, rich_text="") if r.split == "train" else r for r in prepared.records]
    for r in records:
        (tmp_path / r.image_path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / r.image_path).write_bytes((prepared.root / r.image_path).read_bytes())
    write_records(tmp_path / "train_image_text.jsonl", [r for r in records if r.split == "train"])
    write_image_shards(tmp_path, records, shard_size=8)
    with pytest.raises(UserError, match=r"(?s)no SKU of train has labels .*columns of the manifest .*products\.jsonl"):
        _module(tmp_path, text="attributes")
    assert _module(tmp_path).can_train


def test_shards_are_paired_by_number(prepared: Any) -> None:
    pairs = paired_shards(prepared.shards, "train")
    assert len(pairs) >= 3
    for number, files in enumerate(pairs):
        assert all(f"{number:06d}.tar" in f.name for f in files)
        assert "train-catalog" in files[0].name
    assert paired_shards(prepared.shards, "validation") == []
