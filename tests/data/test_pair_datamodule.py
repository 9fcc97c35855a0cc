"""The pair DataModule: what it counts, what it trains and validates on, and what it takes over."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from skufp.artifacts.records import CATALOG, CropRecord, write_records
from skufp.data.pair_datamodule import PairDataModule
from skufp.data.shards import write_image_shards
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

ACTIONS = {"zoom": {"zoom_in": [2, 3]}, "front": {"viewpoint": [2]}}
Batch = dict[str, Any]


def _data(root: Path, **changes: Any) -> PairDataModule:
    settings: dict[str, Any] = {"actions": ACTIONS, "size": 8, "batch_size": 4, "seed": 0, "steps": 5, "workers": 0}
    data = PairDataModule({"prepare": str(root), "retriever": "somewhere"}, **(settings | changes))
    data.attach(SimpleNamespace(preprocessing=Preprocessing(6)))
    return data


def _views(records: list[CropRecord]) -> Counter[str]:
    return Counter(r.sku_id for r in records if r.domain == CATALOG)


def _numbers(pixels: torch.Tensor) -> list[int]:
    """Which photo each row shows: the grey level of photo n is 3n."""
    return [round((float(p.mean()) + 1) * 127.5 / 3) for p in pixels]


def _rows(batches: Any) -> list[tuple[str, str, str]]:
    return [row for b in batches for row in zip(b["sku_id"], b["source_view"], b["target_view"], strict=True)]


def _only(prepared: Any, folder: Path, **views: int) -> Path:
    """Write the records of ``prepared`` with at most so many views per SKU of a split; 0 leaves the split out."""
    for split, most in views.items():
        seen: Counter[str] = Counter()
        kept = []
        for r in prepared.of(split):
            seen[r.sku_id] += r.domain == CATALOG
            if r.domain == CATALOG and seen[r.sku_id] <= most:
                kept.append(r)
        if kept:
            write_records(folder / f"{split}_image_text.jsonl", kept)
    for name in ("train", "dev", "shards"):
        (folder / name).symlink_to(prepared.root / name)
    return folder


def test_skus_are_counted(prepared: Any) -> None:
    data = _data(prepared.root)
    for split in ("train", "dev"):
        views = _views(prepared.of(split))
        assert data.skus[split] == sum(n > 1 for n in views.values()) > 0
        assert data.left_out[split] == sum(n == 1 for n in views.values())
    assert data.left_out["train"] > 0
    assert data.can_train
    assert data.has_dev_queries
    assert data.expected == {}


def test_the_module_is_told_where_its_encoder_is(prepared: Any) -> None:
    assert _data(prepared.root).module_arguments() == {"encoder_folder": str(Path("somewhere") / "encoder")}


def test_training_streams_pairs_of_train(prepared: Any) -> None:
    data = _data(prepared.root)
    by_view = {r.view_id: r for r in prepared.of("train") if r.domain == CATALOG}
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(loader) == len(batches) == 5
    for batch in batches:
        assert batch["source"].shape == batch["target"].shape == batch["draft"].shape == (4, 3, 8, 8)
        assert batch["encoder_pixels"].shape == (4, 3, 6, 6)
        for name in ("source", "target"):
            assert _numbers(batch[name]) == [int(by_view[v].image_id) for v in batch[f"{name}_view"]]
    for sku, source, target in _rows(batches):
        assert by_view[source].sku_id == by_view[target].sku_id == sku
        assert source != target


def test_validation_sees_every_ordered_dev_pair_and_the_same_ones_every_time(prepared: Any) -> None:
    data = _data(prepared.root)
    loader = data.val_dataloader()
    first, again = list(loader), list(data.val_dataloader())
    assert len(loader) == len(first)
    views = [r for r in prepared.of("dev") if r.domain == CATALOG]
    expected = [(a.sku_id, a.view_id, b.view_id) for a in views for b in views if a.sku_id == b.sku_id and a != b]
    assert sorted(_rows(first)) == sorted(expected)
    assert [len(b["view_kind"]) for b in first[:-1]] == [4] * (len(first) - 1)
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in ("source", "target", "draft", "encoder_pixels", "view_kind"))
    by_view = {r.view_id: int(r.image_id) for r in views}
    for batch in first:
        assert _numbers(batch["target"]) == [by_view[v] for v in batch["target_view"]]


def test_validation_is_limited_and_seeded(prepared: Any) -> None:
    whole, few, other = (
        _rows(_data(prepared.root, **changes).val_dataloader()) for changes in ({}, {"val_pairs": 3}, {"seed": 1})
    )
    assert few == whole[:3]
    assert sorted(other) == sorted(whole)
    assert other != whole


def test_samples_are_the_first_validation_pairs_of_different_skus(prepared: Any) -> None:
    data = _data(prepared.root)
    count = data.skus["dev"]
    assert count > 1
    batch = data.sample_pairs(count)
    assert len(set(batch["sku_id"])) == count
    assert _rows([batch]) == _rows(data.val_dataloader())[:count]
    assert len(data.sample_pairs(1000)["sku_id"]) == len(_rows(data.val_dataloader()))


def test_without_dev_samples_come_from_train(prepared: Any, tmp_path: Path) -> None:
    data = _data(_only(prepared, tmp_path, train=9, dev=0))
    assert data.can_train
    assert not data.has_dev_queries
    batch = data.sample_pairs(3)
    assert set(batch["sku_id"]) <= {r.sku_id for r in prepared.of("train")}
    assert len(set(batch["sku_id"])) == 3
    assert list(data.val_dataloader()) == []


def test_single_views_alone_cannot_train(prepared: Any, tmp_path: Path) -> None:
    data = PairDataModule(
        {"prepare": str(_only(prepared, tmp_path, train=1, dev=1)), "retriever": "somewhere"},
        actions=ACTIONS, size=8, batch_size=4, seed=0, steps=5, workers=0,
    )  # fmt: skip
    assert not data.can_train
    assert not data.has_dev_queries
    assert data.skus == {"train": 0, "dev": 0}
    assert data.left_out["train"] == len(_views(prepared.of("train")))
    with pytest.raises(UserError, match="two catalogue views"):
        data.sample_pairs(1)
    with pytest.raises(UserError, match="views=classic"):
        data.attach(SimpleNamespace(preprocessing=Preprocessing(6)))


@pytest.fixture
def masked(prepared: Any, tmp_path: Path) -> Path:
    """The catalogue views of ``prepared``, each with a mask: the garment is the left half."""
    mask = np.zeros((20, 16), np.uint8)
    mask[:, :8] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    records = [replace(r, mask_path="mask.png") for r in prepared.records if r.domain == CATALOG]
    for split in ("train", "dev"):
        (tmp_path / split).symlink_to(prepared.root / split)
        write_records(tmp_path / f"{split}_image_text.jsonl", [r for r in records if r.split == split])
    write_image_shards(tmp_path, records, shard_size=8)
    return tmp_path


@pytest.mark.parametrize("drafts", [True, False])
def test_drafts_are_the_source_s_garment_in_the_target_s_photo_or_the_source(masked: Path, drafts: bool) -> None:
    data = _data(masked, drafts=drafts, flip=0.0)
    assert data.drafts is drafts
    batches = [*data.train_dataloader(), *data.val_dataloader(), data.sample_pairs(2), *data.first_batches()]
    assert len(batches) > 8
    for batch in batches:
        assert _numbers(batch["draft"][..., :4]) == _numbers(batch["source"])
        assert _numbers(batch["draft"][..., 4:]) == _numbers(batch["target" if drafts else "source"])
        assert _numbers(batch["source"]) != _numbers(batch["target"])


@pytest.mark.parametrize("flip", [-0.1, 1.5])
def test_a_flip_that_is_no_share_is_refused(prepared: Any, flip: float) -> None:
    with pytest.raises(UserError, match="flip"):
        _data(prepared.root, flip=flip)
