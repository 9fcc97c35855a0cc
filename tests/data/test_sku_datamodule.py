"""The SKU DataModule: bank, pairs, pools, teachers joined in, streams, resume."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from skufp.artifacts.folder import write_json
from skufp.artifacts.teachers import write_query_folds, write_teachers
from skufp.data import sku_datamodule
from skufp.data.shards import INDEX, decode_sku_sample, write_sku_shards
from skufp.data.sku_collate import META, TrainingCollate
from skufp.data.sku_datamodule import SkuDataModule, SkuDraws
from skufp.data.sku_teachers import Teachers
from skufp.data.splits import fold_of_pair
from skufp.errors import UserError

DIM = 6
NO_TEACHER = "sku-3"
# Every train SKU but one is taught by its last view, SKU n with weight n / 10; every held-out query by the first.
TEACHERS = Teachers(
    {(f"sku-{i}", -1): (f"{i}-{i % 4}", 0.1 * i) for i in range(11) if i != 3}
    | {(f"sku-{i}", 1): (f"{i}-0", 0.5) for i in range(11)},
    {(f"sku-{i}", f"q{i}-0"): 1 for i in range(11)},
)


def _sample(number: int, split: str) -> dict[str, Any]:
    """SKU n has 1 + n % 4 views and n % 3 queries; three SKUs after another are a pair."""
    rng = np.random.default_rng([number, split == "dev"])
    views, queries = 1 + number % 4, number % 3
    unit = rng.normal(size=(views + queries, DIM)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    meta: dict[str, Any] = {"split": split, "sku_id": f"sku-{number}", "pair_id": 100 + number // 3}
    meta |= {name: [(number + i) % 2 for i in range(views)] for name in META}
    meta["view_ids"] = [f"{number}-{i}" for i in range(views)]
    meta["query_ids"] = [f"q{number}-{i}" for i in range(queries)]
    meta["pools"] = ["held_out", "learn"][:queries] if split == "train" else [""] * queries
    return {"views": unit[:views], "queries": unit[views:], "meta": meta}


TRAIN, DEV = [_sample(i, "train") for i in range(11)], [_sample(i, "dev") for i in range(5)]


def _embedded(folder: Path, shard_size: int = 4, **splits: list[dict[str, Any]]) -> dict[str, str]:
    """Write a folder as the embed stage does."""
    shards = folder / "shards"
    shards.mkdir()
    index = {f"{split}-sku": write_sku_shards(shards, split, part, shard_size) for split, part in splits.items()}
    write_json(shards / INDEX, index)
    return {"embed": str(folder)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _embedded(tmp_path_factory.mktemp("embed"), dev=DEV, train=TRAIN)


@pytest.fixture
def data(inputs: dict[str, str]) -> SkuDataModule:
    data = SkuDataModule(inputs, batch_size=4, seed=0, view_dropout=0.3, steps=9)
    data.teachers = TEACHERS
    return data


def test_bank_holds_every_train_skus_mean(data: SkuDataModule) -> None:
    assert data.dim == DIM
    assert data.module_arguments() == {"dim": DIM}
    assert data.bank.shape == (11, DIM)
    assert data.bank.dtype == np.float32
    for sample in TRAIN:
        mean = sample["views"].mean(axis=0)
        row = data.bank[data.bank_rows[sample["meta"]["sku_id"]]]
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    assert data.can_train
    assert data.has_dev_queries
    assert data.expected == {"gallery": 5}


def test_bank_pairs_are_the_pair_of_every_bank_row(data: SkuDataModule) -> None:
    assert data.bank_pairs.dtype == np.int64
    assert {sku: int(data.bank_pairs[row]) for sku, row in data.bank_rows.items()} == {
        f"sku-{i}": 100 + i // 3 for i in range(11)
    }


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
            assert batch["all_views"][i].tolist() == [v < count for v in range(batch["views"].shape[1])]
            assert batch["bank_index"][i] == data.bank_rows[sku]
            own = batch["query_target"] == i
            held_out = [q for q, pool in enumerate(sample["meta"]["pools"]) if pool == "held_out"]
            assert torch.equal(batch["queries"][own], torch.from_numpy(sample["queries"][held_out]))
            taught = torch.from_numpy(sample["views"][:1]).expand(len(held_out), -1)
            assert torch.equal(batch["query_teacher"][own], taught)
            assert batch["query_teacher_weight"][own].tolist() == [0.5] * len(held_out)
            assert float(batch["teacher_weight"][i]) == pytest.approx(0.0 if sku == NO_TEACHER else 0.1 * number)
            if sku != NO_TEACHER:
                assert torch.equal(batch["teacher"][i], torch.from_numpy(sample["views"][-1]))


@pytest.mark.parametrize(("pools", "count"), [(["held_out"], 7), (["learn"], 3), (["learn", "held_out"], 10)])
def test_query_pools_say_which_train_queries_are_used(inputs: dict[str, str], pools: list[str], count: int) -> None:
    data = SkuDataModule(inputs, batch_size=11, seed=0, query_pools=pools)
    (batch,) = data.train_dataloader()
    used = {tuple(q) for q in batch["queries"].tolist()}
    expected = [q for s in TRAIN for q, pool in zip(s["queries"].tolist(), s["meta"]["pools"], strict=True)
                if pool in pools]  # fmt: skip
    assert used == {tuple(q) for q in expected}
    assert len(batch["queries"]) == len(expected) == count


def test_hidden_views_ask_only_in_training(inputs: dict[str, str]) -> None:
    data = SkuDataModule(inputs, batch_size=11, seed=0, view_dropout=0.5, hidden_views_ask=True)
    (batch,) = data.train_dataloader()
    hidden = int((batch["all_views"] & ~batch["mask"]).sum())
    assert hidden
    assert len(batch["queries"]) == 7 + hidden
    assert all(len(b["queries"]) == sum(len(m["pools"]) for m in b["sku_meta"]) for b in data.val_dataloader())


def test_teachers_are_read_from_the_teacher_stages_folder(inputs: dict[str, str], tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "split": "train", "row": 0, "queries": 1, "rank": 1.0, "reciprocal_rank": 1.0, "recall@1": 1.0,
        "recall@5": 1.0, "recall@10": 1.0, "margin": 0.25, "is_teacher": True, "weight": 0.25, "fallback": False,
    }  # fmt: skip
    write_teachers(tmp_path, [row | {"sku_id": "sku-7", "view_id": f"7-{f + 1}", "fold": f} for f in (-1, 0, 1)])
    write_query_folds(tmp_path, [{"split": "train", "sku_id": "sku-7", "view_id": "q7-0", "row": 0, "fold": 1}])
    data = SkuDataModule(inputs | {"teacher": str(tmp_path)}, batch_size=11, seed=0)
    (batch,) = data.train_dataloader()
    i = batch["sku_id"].index("sku-7")
    assert batch["teacher_weight"].tolist() == [0.25 * (n == i) for n in range(11)]
    assert torch.equal(batch["teacher"][i], torch.from_numpy(TRAIN[7]["views"][0]))
    own = batch["query_target"] == i
    assert batch["query_teacher_weight"].tolist() == [0.25 * bool(n) for n in own]
    assert torch.equal(batch["query_teacher"][own], torch.from_numpy(TRAIN[7]["views"][2:3]))


def test_without_a_teacher_folder_nobody_teaches(inputs: dict[str, str]) -> None:
    (batch,) = SkuDataModule(inputs, batch_size=11, seed=0).train_dataloader()
    assert not batch["teacher_weight"].any()
    assert not batch["query_teacher_weight"].any()


@pytest.mark.parametrize("buffer", [4096, 4])
def test_each_sku_is_seen_once_before_any_is_seen_again(
    data: SkuDataModule, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sku_datamodule, "BUFFER", buffer)
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
    assert [b["sku_id"] for b in data.val_dataloader()] == [b["sku_id"] for b in batches]


def test_a_pass_that_was_broken_off_does_not_shorten_the_next(data: SkuDataModule) -> None:
    """Lightning breaks one off when it resumes a run: it makes an iterator of the dev loader only to count."""
    loader, everyone = data.val_dataloader(), [s["meta"]["sku_id"] for s in DEV]
    next(iter(loader))
    assert [sku for batch in loader for sku in batch["sku_id"]] == everyone
    skus = data.all_skus("dev")
    next(iter(skus))
    assert [sku for batch in skus for sku in batch["sku_id"]] == everyone


def _stream(data: SkuDataModule, seed: int = 5, start: int = 0) -> SkuDraws:
    collate = TrainingCollate(TEACHERS, data.bank_rows, ("held_out",), view_dropout=0.3, hidden_views_ask=True)
    return SkuDraws(data.train_files, 4, 9, seed, collate, start)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    tensors = [name for name, value in a.items() if isinstance(value, torch.Tensor)]
    assert {"views", "mask", "queries", "query_teacher", "bank_index"} <= set(tensors)
    return a["sku_id"] == b["sku_id"] and all(torch.equal(a[k], b[k]) for k in tensors)


def _all_same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))


def test_seed_fixes_the_stream(data: SkuDataModule) -> None:
    assert _all_same(list(_stream(data)), list(_stream(data)))
    assert not _all_same(list(_stream(data)), list(_stream(data, seed=6)))


def test_every_batch_has_its_own_randomness(data: SkuDataModule) -> None:
    draws = {
        (seed, number): batch["draw"]
        for seed in (5, 6)
        for number, batch in enumerate(SkuDraws(data.train_files, 4, 9, seed, lambda s, rng: {"draw": rng.random()}))
    }
    assert len(set(draws.values())) == len(draws) == 18


@pytest.mark.parametrize("start", [0, 1, 4, 9])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_resumed_run_has_the_identical_rest(data: SkuDataModule, start: int, workers: int) -> None:
    loader = DataLoader(_stream(data, start=start), batch_size=None, num_workers=workers)
    assert _all_same(list(loader), list(_stream(data))[start:])


@pytest.mark.parametrize("world", [1, 2, 3, len(DEV) + 2])
def test_processes_share_the_dev_skus(data: SkuDataModule, world: int) -> None:
    """Every SKU is seen once, also where there are more processes than SKUs."""
    seen = [[sku for b in data.all_skus("dev", rank, world) for sku in b["sku_id"]] for rank in range(world)]
    everyone = [s["meta"]["sku_id"] for s in DEV]
    assert seen == [everyone[rank::world] for rank in range(world)]


def test_without_held_out_queries_there_is_nothing_to_train(tmp_path: Path) -> None:
    samples = [{**s, "meta": {**s["meta"], "pools": ["learn"] * len(s["queries"])}} for s in TRAIN]
    inputs = _embedded(tmp_path, train=samples)
    data = SkuDataModule(inputs, batch_size=4, seed=0)
    assert not data.can_train
    assert not data.has_dev_queries
    assert data.bank.shape == (11, DIM)
    assert SkuDataModule(inputs, batch_size=4, seed=0, query_pools=("held_out", "learn")).can_train


def test_without_a_train_split_the_bank_is_empty(tmp_path: Path) -> None:
    data = SkuDataModule(_embedded(tmp_path, dev=DEV), batch_size=4, seed=0)
    assert data.bank.shape == (0, DIM)
    assert data.bank_pairs.shape == (0,)
    assert not data.can_train
    assert data.has_dev_queries


# ---- Left out for cross-fitting ----

FOLDS, SEED = 2, 6


def _asked(data: SkuDataModule) -> dict[str, int]:
    """How many queries each SKU asks in one pass over train."""
    (batch,) = data.train_dataloader()
    return {sku: int((batch["query_target"] == i).sum()) for i, sku in enumerate(batch["sku_id"])}


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_left_out_fold_neither_asks_nor_is_taught(inputs: dict[str, str], fold: int) -> None:
    changes = {"batch_size": 11, "seed": SEED, "query_pools": ("held_out", "learn")}
    data = SkuDataModule(inputs, **changes, left_out=(fold, FOLDS))
    data.teachers = TEACHERS
    pairs = {100 + i // 3: fold_of_pair(100 + i // 3, FOLDS, SEED) for i in range(11)}
    assert set(pairs.values()) == {0, 1}
    assert {pair: data.is_left_out(pair) for pair in pairs} == {pair: of == fold for pair, of in pairs.items()}
    asked = _asked(data)
    assert asked == {f"sku-{i}": 0 if pairs[100 + i // 3] == fold else i % 3 for i in range(11)}
    (batch,) = data.train_dataloader()
    for sku, weight in zip(batch["sku_id"], batch["teacher_weight"].tolist(), strict=True):
        number = int(sku.removeprefix("sku-"))
        left_out = pairs[100 + number // 3] == fold
        assert weight == pytest.approx(0.0 if left_out or sku == NO_TEACHER else 0.1 * number)


def test_every_query_is_left_out_in_just_one_fold(inputs: dict[str, str]) -> None:
    all_asked = _asked(SkuDataModule(inputs, batch_size=11, seed=SEED))
    parts = [_asked(SkuDataModule(inputs, batch_size=11, seed=SEED, left_out=(f, 3))) for f in range(3)]
    for sku, count in all_asked.items():
        assert sum(part[sku] for part in parts) == 2 * count
        assert {part[sku] for part in parts} <= {0, count}


def test_leaving_out_changes_neither_bank_nor_dev_nor_order(inputs: dict[str, str]) -> None:
    whole = SkuDataModule(inputs, batch_size=4, seed=SEED, view_dropout=0.3, steps=6)
    part = SkuDataModule(inputs, batch_size=4, seed=SEED, view_dropout=0.3, steps=6, left_out=(0, FOLDS))
    assert not any(whole.is_left_out(pair) for pair in range(100, 104))
    assert np.array_equal(whole.bank, part.bank)
    assert whole.bank_rows == part.bank_rows
    for a, b in zip(whole.train_dataloader(), part.train_dataloader(), strict=True):
        assert a["sku_id"] == b["sku_id"]
        assert torch.equal(a["mask"], b["mask"])
    for a, b in zip(whole.val_dataloader(), part.val_dataloader(), strict=True):
        assert torch.equal(a["queries"], b["queries"])
    assert [len(b["queries"]) for b in part.all_skus("train")] == [len(b["queries"]) for b in whole.all_skus("train")]


def test_where_every_query_is_left_out_there_is_nothing_to_train(inputs: dict[str, str]) -> None:
    assert not SkuDataModule(inputs, batch_size=4, seed=0, left_out=(0, 1)).can_train
    assert SkuDataModule(inputs, batch_size=4, seed=SEED, left_out=(0, FOLDS)).can_train


# ---- Settings that make no sense ----


@pytest.mark.parametrize(("pools", "wrong"), [(["held_out", "heldout"], "heldout"), (["dev", "all"], "all, dev")])
def test_an_unknown_query_pool_is_refused(inputs: dict[str, str], pools: list[str], wrong: str) -> None:
    with pytest.raises(UserError, match=rf"{wrong} is no pool") as caught:
        SkuDataModule(inputs, batch_size=4, seed=0, query_pools=pools)
    assert "stages.fingerprint.datamodule.query_pools=[held_out] or [held_out,learn]" in str(caught.value)


def test_views_that_are_never_hidden_cannot_ask(inputs: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"hidden_views_ask=true needs views that are hidden: give view_dropout=0\.2"):
        SkuDataModule(inputs, batch_size=4, seed=0, hidden_views_ask=True)


# ---- What fits the buffer is read once ----


@pytest.mark.parametrize(("buffer", "fits"), [(4096, True), (11, True), (10, False)])
def test_what_fits_the_buffer_is_read_once(
    data: SkuDataModule, buffer: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four passes of three batches over eleven SKUs."""
    read: list[str] = []

    def decode(sample: dict[str, Any]) -> dict[str, Any]:
        done = decode_sku_sample(sample)
        read.append(done["meta"]["sku_id"])
        return done

    monkeypatch.setattr(sku_datamodule, "BUFFER", buffer)
    monkeypatch.setattr(sku_datamodule, "decode_sku_sample", decode)
    data.steps = 12
    skus = [sku for batch in data.train_dataloader() for sku in batch["sku_id"]]
    everyone = sorted(s["meta"]["sku_id"] for s in TRAIN)
    assert [sorted(skus[11 * i : 11 * i + 11]) for i in range(4)] == [everyone] * 4
    assert len(read) == 11 if fits else len(read) >= 44


def test_what_was_read_once_comes_out_whole_every_time(data: SkuDataModule) -> None:
    """No batch changes the samples that later batches are made of."""
    seen: dict[str, torch.Tensor] = {}
    for batch in data.train_dataloader():
        for i, sku in enumerate(batch["sku_id"]):
            views = batch["views"][i][batch["all_views"][i]].clone()
            assert torch.equal(seen.setdefault(sku, views), views)
        batch["views"].zero_()
    assert len(seen) == 11


# ---- Counterfactuals ----


def test_counterfactuals_join_training_batches_alone(tmp_path: Path) -> None:
    """SKU n has n % 2 counterfactuals."""
    rng = np.random.default_rng(0)
    drawn = {i: rng.normal(size=(i % 2, DIM)).astype(np.float32) for i in range(11)}
    train = [sample | ({"negatives": drawn[i]} if i % 2 else {}) for i, sample in enumerate(TRAIN)]
    inputs = _embedded(tmp_path, dev=DEV, train=train)
    settings: dict[str, Any] = {"batch_size": 4, "seed": 0, "view_dropout": 0.3, "steps": 6}
    plain, data = SkuDataModule(inputs, **settings), SkuDataModule(inputs, **settings, negatives=True)
    assert np.array_equal(plain.bank, data.bank)
    for batch, without in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert "negatives" not in without
        assert _same(without, {name: batch[name] for name in without})
        expected = [(i, drawn[int(sku.removeprefix("sku-"))]) for i, sku in enumerate(batch["sku_id"])]
        assert torch.equal(batch["negatives"], torch.from_numpy(np.concatenate([v for _, v in expected])))
        assert batch["negative_target"].tolist() == [i for i, v in expected for _ in v]
    assert not any("negatives" in batch for batch in data.val_dataloader())


def test_negatives_that_are_nowhere_are_refused(inputs: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"loss\.negatives=true, but no train SKU has a counterfactual.*views=dit"):
        SkuDataModule(inputs, batch_size=4, seed=0, negatives=True)
