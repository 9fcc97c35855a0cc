"""The image DataModule: counts, pairing, and one preprocessing for all."""

from types import SimpleNamespace
from typing import Any

import pytest

from skufp.data.image_datamodule import ImageDataModule, paired_shards
from skufp.models.preprocessing import Preprocessing

TRAINING = {"skus_per_batch": 3, "images_per_sku": 2, "siblings": 2}


@pytest.fixture
def data(prepared: Any) -> ImageDataModule:
    module = ImageDataModule({"prepare": str(prepared.root)}, TRAINING, batch_size=4, seed=0, steps=5, workers=0)
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


def test_shards_are_paired_by_number(prepared: Any) -> None:
    pairs = paired_shards(prepared.shards, "train")
    assert len(pairs) >= 3
    for number, files in enumerate(pairs):
        assert all(f"{number:06d}.tar" in f.name for f in files)
        assert "train-catalog" in files[0].name
    assert paired_shards(prepared.shards, "validation") == []
