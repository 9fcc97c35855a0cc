"""P x K batches: counts, siblings, held-out queries, seeds, resume."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from skufp.artifacts.records import CATALOG, QUERY
from skufp.data.augment import PhonePhoto
from skufp.data.image_datamodule import paired_shards
from skufp.data.shards import write_image_shards
from skufp.data.sku_batches import SkuBatches, SkuGroup, read_skus
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

TRAIN_SKUS = 10
Batch = dict[str, Any]


def _batches(prepared: Any, **changes: Any) -> SkuBatches:
    settings: dict[str, Any] = {
        "shards": paired_shards(prepared.shards, "train"), "transform": Preprocessing(8), "augment": None,
        "skus_per_batch": 4, "images_per_sku": 4, "siblings": 2, "steps": 6, "seed": 0, "skus": TRAIN_SKUS,
    }  # fmt: skip
    return SkuBatches(**(settings | changes))


def _image_numbers(batch: Batch) -> list[int]:
    """Which photo each row shows: the grey level of photo n is 3n."""
    return [round((float(p.mean()) + 1) * 127.5 / 3) for p in batch["pixels"]]


def _same(a: Batch, b: Batch) -> bool:
    tensors = ("pixels", "sku", "pair", "is_query", "text_id", "texts_id")
    return all(a[k] == b[k] for k in ("text", "texts")) and all(torch.equal(a[k], b[k]) for k in tensors)


def _all_same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def by_number(prepared: Any) -> dict[int, Any]:
    return {int(r.image_id): r for r in prepared.of("train")}


def test_the_folder_has_the_expected_skus(prepared: Any) -> None:
    assert len({r.sku_id for r in prepared.of("train")}) == TRAIN_SKUS


@pytest.mark.parametrize(("skus", "images"), [(4, 4), (3, 2), (5, 3), (10, 2)])
def test_every_batch_holds_p_times_k_images(prepared: Any, skus: int, images: int) -> None:
    batches = list(_batches(prepared, skus_per_batch=skus, images_per_sku=images))
    assert len(batches) == 6
    for batch in batches:
        assert batch["pixels"].shape == (skus * images, 3, 8, 8)
        assert len(batch["text"]) == skus * images
        for start in range(0, skus * images, images):
            own = slice(start, start + images)
            assert len(set(batch["sku"][own].tolist())) == 1
            assert batch["is_query"][own].tolist() == [True] * (images // 2) + [False] * (images - images // 2)


@pytest.mark.parametrize("siblings", [1, 2, 3])
def test_the_skus_of_a_batch_are_different_ones(prepared: Any, siblings: int) -> None:
    for batch in _batches(prepared, siblings=siblings, steps=30):
        assert set(Counter(batch["sku"].tolist()).values()) == {4}


def test_rows_are_what_they_say(prepared: Any, by_number: dict[int, Any]) -> None:
    for batch in _batches(prepared):
        for i, number in enumerate(_image_numbers(batch)):
            record = by_number[number]
            assert batch["sku"][i] == SkuGroup("train", record.sku_id, record.pair_id).label
            assert batch["pair"][i] == record.pair_id
            assert batch["text"][i] == record.text
            assert batch["is_query"][i] or record.domain == CATALOG


def test_texts_of_labels_and_templates_where_there_are_none(prepared: Any, by_number: dict[int, Any]) -> None:
    seen = set()
    for batch, plain in zip(_batches(prepared, text="attributes"), _batches(prepared), strict=True):
        assert torch.equal(batch["pixels"], plain["pixels"])  # the photos are the same ones
        for text, number in zip(batch["text"], _image_numbers(batch), strict=True):
            record = by_number[number]
            assert text == (record.rich_text or record.text)
            seen.add(text.split()[0])
    assert seen == {"labels", "text"}


def test_real_queries_are_used_where_there_are_any(prepared: Any, by_number: dict[int, Any]) -> None:
    learnt = {r.sku_id for r in prepared.of("train") if r.pool == "learn"}
    seen = set()
    for batch in _batches(prepared, steps=20):
        for i, number in enumerate(_image_numbers(batch)):
            if batch["is_query"][i]:
                assert (by_number[number].domain == QUERY) == (by_number[number].sku_id in learnt)
                seen.add(by_number[number].domain)
    assert seen == {CATALOG, QUERY}


def test_held_out_queries_are_never_used(prepared: Any, by_number: dict[int, Any]) -> None:
    used = {n for batch in _batches(prepared, steps=60, augment=None) for n in _image_numbers(batch)}
    held_out = {n for n, r in by_number.items() if r.pool == "held_out"}
    assert held_out
    assert used == set(by_number) - held_out


def test_siblings_come_together(prepared: Any) -> None:
    def mean_pairs(siblings: int) -> float:
        batches = list(_batches(prepared, siblings=siblings, steps=40, images_per_sku=2))
        return sum(len(set(b["pair"].tolist())) for b in batches) / len(batches)

    assert mean_pairs(3) < mean_pairs(1)
    for batch in _batches(prepared, siblings=2, steps=40, images_per_sku=2):
        pairs = batch["pair"][::2].tolist()
        runs = sum(a != b for a, b in pairwise(pairs)) + 1
        assert runs <= len(set(pairs)) + 1  # a pair may be drawn twice, never be scattered


def test_seed_fixes_the_stream(prepared: Any) -> None:
    first, again, other = (list(_batches(prepared, seed=seed, augment=PhonePhoto())) for seed in (3, 3, 4))
    assert all(_same(a, b) for a, b in zip(first, again, strict=True))
    assert not all(_same(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("start", [0, 1, 4, 6])
def test_a_resumed_run_has_the_identical_rest(prepared: Any, start: int) -> None:
    whole = list(_batches(prepared, augment=PhonePhoto()))
    assert _all_same(list(_batches(prepared, augment=PhonePhoto(), start=start)), whole[start:])


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 3])
def test_the_number_of_workers_changes_nothing(prepared: Any, workers: int, start: int) -> None:
    expected = list(_batches(prepared, steps=7))[start:]
    loader = DataLoader(_batches(prepared, steps=7, start=start), batch_size=None, num_workers=workers)
    assert _all_same(list(loader), expected)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_the_batches_of_one(prepared: Any, world: int) -> None:
    """Of 4 SKUs and of the distinct texts each process has every world-th; nothing is seen twice or lost."""
    whole = list(_batches(prepared, augment=PhonePhoto()))
    shares = [list(_batches(prepared, augment=PhonePhoto(), rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        own = [share[number] for share in shares]
        rows = [row for rank in range(world) for sku in range(4)[rank::world] for row in range(4 * sku, 4 * sku + 4)]
        for name in ("pixels", "sku", "pair", "is_query", "text_id"):
            assert torch.equal(torch.cat([o[name] for o in own]), batch[name][rows])
        assert [text for o in own for text in o["text"]] == [batch["text"][row] for row in rows]
        assert sorted(text for o in own for text in o["texts"]) == batch["texts"]
        for one in own:
            assert one["texts"] == [batch["texts"][i] for i in one["texts_id"]]


def test_texts_are_numbered_and_photos_without_text_have_none(prepared: Any) -> None:
    for batch in _batches(prepared):
        assert batch["texts"] == sorted(set(batch["text"]) - {""})
        assert batch["texts_id"].tolist() == list(range(len(batch["texts"])))
        assert [batch["texts"][i] if i >= 0 else "" for i in batch["text_id"]] == batch["text"]


def test_more_processes_than_skus_say_what_to_change(prepared: Any) -> None:
    with pytest.raises(UserError, match=r"skus_per_batch=4 cannot be shared by 5 processes"):
        _batches(prepared, world=5)


def test_shards_that_do_not_fit_the_buffer_are_read_again(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = list(_batches(prepared))
    monkeypatch.setattr("skufp.data.sku_batches.BUFFER_SKUS", TRAIN_SKUS - 1)
    again = _batches(prepared)
    assert not again.all_fit
    assert all(b["pixels"].shape == a["pixels"].shape for a, b in zip(held, again, strict=True))


def test_fewer_skus_than_a_batch_still_fill_it(prepared: Any) -> None:
    batches = list(_batches(prepared, skus_per_batch=16, images_per_sku=2))
    assert len(batches) == 6
    for batch in batches:
        assert batch["pixels"].shape[0] == 32
        assert len(set(batch["sku"].tolist())) <= TRAIN_SKUS


def test_one_sku_with_one_photo(tmp_path: Path, record: Any, prepared: Any) -> None:
    only = record("train", 1, 1, CATALOG, 1)
    only.image_path = prepared.of("train")[0].image_path
    (tmp_path / only.image_path).parent.mkdir(parents=True)
    (tmp_path / only.image_path).hardlink_to(prepared.root / only.image_path)
    write_image_shards(tmp_path, [only], 10)
    shards = paired_shards(tmp_path / "shards", "train")
    batches = list(_batches(prepared, shards=shards, augment=PhonePhoto(), skus=1))
    assert [len(b["sku"]) for b in batches] == [16] * 6


def test_augmentation_keeps_the_shape_and_changes_the_queries(prepared: Any) -> None:
    plain, damaged = next(iter(_batches(prepared))), next(iter(_batches(prepared, augment=PhonePhoto())))
    assert damaged["pixels"].shape == plain["pixels"].shape
    queries = damaged["pixels"][damaged["is_query"]]
    assert any(float(p.std()) > 0.05 for p in queries)  # the photos themselves are all of one grey
    assert all(float(p.std()) < 0.02 for p in plain["pixels"])


def test_read_skus_leaves_out_held_out_queries_and_skus_without_photo(prepared: Any) -> None:
    groups = [g for files in paired_shards(prepared.shards, "train") for g in read_skus(files)]
    records = prepared.of("train")
    assert {g.sku_id: (len(g.catalog), len(g.query)) for g in groups} == {
        sku: (
            sum(r.sku_id == sku and r.domain == CATALOG for r in records),
            sum(r.sku_id == sku and r.pool == "learn" for r in records),
        )
        for sku in {r.sku_id for r in records}
    }
    queries = [f for files in paired_shards(prepared.shards, "train") for f in files if "query" in f.name]
    assert queries
    assert [group for file in queries for group in read_skus([file])] == []


def test_labels_differ_by_split_and_are_the_same_in_every_process() -> None:
    assert SkuGroup("train", "000001_01", 1).label != SkuGroup("dev", "000001_01", 1).label
    assert SkuGroup("train", "000001_01", 1).label == 2377331383
