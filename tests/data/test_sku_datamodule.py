"""The SKU DataModule: padding, view dropout, teachers, bank, pools, resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skufp.artifacts.folder import write_json
from skufp.artifacts.teachers import write_teachers
from skufp.data.shards import INDEX, write_sku_shards
from skufp.data.sku_datamodule import META, SkuDataModule, SkuSamples, drop_views, pad_views

DIM = 6
NO_TEACHER = "sku-3"


def _sample(number: int, split: str) -> dict[str, Any]:
    rng = np.random.default_rng([number, split == "dev"])
    views, queries = 1 + number % 4, number % 3
    unit = rng.normal(size=(views + queries, DIM)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    meta: dict[str, Any] = {"split": split, "sku_id": f"sku-{number}", "pair_id": number}
    meta |= {name: [(number + i) % 2 for i in range(views)] for name in META}
    meta["view_ids"] = [f"{number}-{i}" for i in range(views)]
    meta["pools"] = ["held_out", "learn"][:queries] if split == "train" else [""] * queries
    return {"views": unit[:views], "queries": unit[views:], "meta": meta}


TRAIN, DEV = [_sample(i, "train") for i in range(11)], [_sample(i, "dev") for i in range(5)]


def _teacher(number: int, **changes: Any) -> dict[str, Any]:
    views = len(TRAIN[number]["meta"]["view_ids"])
    row = {
        "split": "train", "sku_id": f"sku-{number}", "view_id": f"{number}-{views - 1}", "row": 0, "fold": -1,
        "queries": 1, "rank": 1.0, "reciprocal_rank": 1.0, "recall@1": 1.0, "margin": 0.1 * number,
        "is_teacher": True, "fallback": False,
    }  # fmt: skip
    return row | changes


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    embed, teacher = tmp_path_factory.mktemp("embed"), tmp_path_factory.mktemp("teacher")
    shards = embed / "shards"
    shards.mkdir()
    index = {f"{split}-sku": write_sku_shards(shards, split, part, 4) for split, part in
             (("dev", DEV), ("train", TRAIN))}  # fmt: skip
    write_json(shards / INDEX, index)
    rows = [_teacher(i) for i in range(11) if i != 3]
    rows[1]["margin"] = -0.5
    rows += [
        _teacher(3, fallback=True),
        _teacher(5, view_id="5-0", fold=0), _teacher(5, view_id="5-0", is_teacher=False),
        _teacher(6, view_id="6-0", split="dev"),
    ]  # fmt: skip
    write_teachers(teacher, rows)
    return {"embed": str(embed), "teacher": str(teacher)}


@pytest.fixture
def data(inputs: dict[str, str]) -> SkuDataModule:
    return SkuDataModule(inputs, batch_size=4, view_dropout=0.3, seed=0, steps=9)


def test_pad_views_by_hand() -> None:
    views = [np.ones((2, 3), np.float32), np.full((1, 3), 2, np.float32)]
    metas = [{"viewpoint": [1, 2], "occlusion": [3, 0], "zoom_in": [0, 1], "generated": [False, True]},
             {"viewpoint": [3], "occlusion": [1], "zoom_in": [2], "generated": [True]}]  # fmt: skip
    batch = pad_views(views, metas)
    assert batch["views"].tolist() == [[[1.0] * 3, [1.0] * 3], [[2.0] * 3, [0.0] * 3]]
    assert batch["mask"].tolist() == [[True, True], [True, False]]
    assert batch["meta"].tolist() == [[[1, 3, 0, 0], [2, 0, 1, 1]], [[3, 1, 2, 1], [0, 0, 0, 0]]]


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_at_least_one_view_stays_and_none_appears(share: float) -> None:
    mask = torch.arange(8)[None, :] < torch.tensor([1, 2, 5, 8] * 50)[:, None]
    before = mask.clone()
    kept = drop_views(mask, share, np.random.default_rng(0))
    assert kept.any(dim=1).all()
    assert not (kept & ~mask).any()
    assert torch.equal(mask, before)
    assert kept.sum() < mask.sum() or share == 1.0


def test_about_the_asked_share_is_dropped() -> None:
    mask = torch.ones(400, 20, dtype=torch.bool)
    kept = drop_views(mask, 0.25, np.random.default_rng(0))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.02)
    assert torch.equal(kept, drop_views(mask, 0.25, np.random.default_rng(0)))
    assert torch.equal(drop_views(mask, 0.0, np.random.default_rng(0)), mask)


def test_bank_holds_every_train_skus_mean(data: SkuDataModule) -> None:
    assert data.dim == DIM
    assert data.module_arguments() == {"dim": DIM}
    assert data.bank.shape == (11, DIM)
    for sample in TRAIN:
        mean = sample["views"].mean(axis=0)
        row = data.bank[data.bank_rows[sample["meta"]["sku_id"]]]
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    assert data.can_train
    assert data.has_dev_queries
    assert data.expected == {"gallery": 5}


def test_training_batches_join_views_queries_teachers_and_bank(data: SkuDataModule) -> None:
    batches = list(data.train_dataloader())
    assert len(batches) == 9
    for batch in batches:
        for i, sku in enumerate(batch["sku_id"]):
            number = int(sku.removeprefix("sku-"))
            sample = TRAIN[number]
            count = len(sample["views"])
            assert torch.equal(batch["views"][i, :count], torch.from_numpy(sample["views"]))
            assert batch["mask"][i].any()
            assert not batch["mask"][i, count:].any()
            assert batch["bank_index"][i] == data.bank_rows[sku]
            own = batch["queries"][batch["query_target"] == i]
            held_out = [q for q, pool in enumerate(sample["meta"]["pools"]) if pool == "held_out"]
            assert torch.equal(own, torch.from_numpy(sample["queries"][held_out]))
            weight = float(batch["teacher_weight"][i])
            assert weight == pytest.approx(0.0 if sku in (NO_TEACHER, "sku-1") else 0.1 * number)
            if sku != NO_TEACHER:
                assert torch.equal(batch["teacher"][i], torch.from_numpy(sample["views"][-1]))


def test_each_sku_is_seen_once_before_any_is_seen_again(data: SkuDataModule) -> None:
    skus = [batch["sku_id"] for batch in data.train_dataloader()]
    for start in range(0, 9, 3):  # three batches of at most four are an epoch of eleven
        assert sorted(sku for part in skus[start : start + 3] for sku in part) == sorted(
            s["meta"]["sku_id"] for s in TRAIN
        )
    assert skus[:3] != skus[3:6]


def test_validation_passes_over_dev_in_order_with_all_queries(data: SkuDataModule) -> None:
    batches = list(data.val_dataloader())
    assert [sku for b in batches for sku in b["sku_id"]] == [s["meta"]["sku_id"] for s in DEV]
    assert torch.equal(torch.cat([b["queries"] for b in batches]),
                       torch.from_numpy(np.concatenate([s["queries"] for s in DEV])))  # fmt: skip
    assert sum(int(b["mask"].sum()) for b in batches) == sum(len(s["views"]) for s in DEV)
    assert list(map(str, data.all_skus("dev"))) == list(map(str, data.all_skus("dev")))


def _stream(data: SkuDataModule) -> SkuSamples:
    return SkuSamples(data.train_files, 4, 9, 5, 0.3, {}, data.bank_rows)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a["sku_id"] == b["sku_id"] and all(torch.equal(a[k], b[k]) for k in ("views", "mask", "queries"))


def test_seed_fixes_the_stream_and_resume_gives_the_identical_rest(data: SkuDataModule) -> None:
    expected = list(_stream(data))
    assert all(_same(a, b) for a, b in zip(expected, _stream(data), strict=True))
    stream = _stream(data)
    running = iter(stream)
    for _ in range(4):
        next(running)
    resumed = _stream(data)
    resumed.load_state_dict(stream.state_dict())
    assert all(_same(a, b) for a, b in zip(expected[4:], list(resumed), strict=True))


def test_without_held_out_queries_there_is_nothing_to_train(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    samples = [{**s, "meta": {**s["meta"], "pools": ["learn"] * len(s["queries"])}} for s in TRAIN]
    write_json(shards / INDEX, {"train-sku": write_sku_shards(shards, "train", samples, 4)})
    write_teachers(tmp_path, [])
    data = SkuDataModule({"embed": str(tmp_path), "teacher": str(tmp_path)}, 4, 0.0, 0)
    assert not data.can_train
    assert not data.has_dev_queries
    assert data.bank.shape == (11, DIM)


def test_without_a_train_split_the_bank_is_empty(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    write_json(tmp_path / "shards" / INDEX, {"dev-sku": write_sku_shards(tmp_path / "shards", "dev", DEV, 4)})
    data = SkuDataModule({"embed": str(tmp_path), "teacher": str(tmp_path)}, 4, 0.0, 0)
    assert data.bank.shape == (0, DIM)
    assert not data.can_train
    assert data.has_dev_queries
