"""Are trained weights kept only where they help? Known answers by hand, by naive loops, and on planted catalogues."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

from skufp.__main__ import config_folder
from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.config import build, plain
from skufp.data.shards import INDEX, write_sku_shards
from skufp.data.sku_collate import META
from skufp.data.sku_datamodule import SkuDataModule
from skufp.data.splits import fold_of_pair
from skufp.schema import register_schema
from skufp.stages import fit
from skufp.stages.fit.proof import cross_fitted, fit_without, gains, is_proven, reciprocal_ranks

DIM, VIEWS = 16, 5
Sample = dict[str, Any]


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def _sample(split: str, number: int, views: np.ndarray, queries: np.ndarray, viewpoint: list[int]) -> Sample:
    """A SKU of a pair of its own whose train queries are held out."""
    meta: dict[str, Any] = {"split": split, "sku_id": f"sku-{number}", "pair_id": number, "style": 1}
    meta |= {"category_id": 1, "category_name": "skirt"} | {name: [0] * len(views) for name in META}
    meta |= {"viewpoint": viewpoint, "view_ids": [f"{number}-{i}" for i in range(len(views))]}
    meta["query_ids"] = [f"q{number}-{i}" for i in range(len(queries))]
    meta["pools"] = ["held_out" if split == "train" else ""] * len(queries)
    return {"views": views, "queries": queries, "meta": meta}


def _skus(split: str, count: int, useful: bool) -> list[Sample]:
    """SKUs with two queries. Useful: these lie at the view with viewpoint 2, wherever it stands, and others mislead.

    Else they lie about the mean of views, which nothing can beat, and the viewpoint says nothing.
    """
    rng = np.random.default_rng([count, useful, len(split)])
    result = []
    for number in range(count):
        views, best = _unit(rng.normal(size=(VIEWS, DIM))), int(rng.integers(VIEWS))
        centre = views[best] if useful else _unit(views.mean(axis=0))
        queries = _unit(centre + 0.15 * rng.normal(size=(2, DIM)))
        result.append(_sample(split, number, views, queries, [2 * (i == best) for i in range(VIEWS)]))
    return result


def _embedded(folder: Path, **splits: list[Sample]) -> dict[str, str]:
    """Write a folder as the embed stage does."""
    shards = folder / "shards"
    shards.mkdir(parents=True)
    write_json(shards / INDEX, {f"{s}-sku": write_sku_shards(shards, s, part, 64) for s, part in splits.items()})
    return {"embed": str(folder)}


def _config(*overrides: str) -> DictConfig:
    """The settings that a user composes, for a fingerprint of so few dimensions."""
    register_schema()
    settings = ["stage=fingerprint", "trainer=cpu", "progress=false", "threads=1", "workers=1", "loss.prefix_dims=[]"]
    settings += ["stages.fingerprint.datamodule.view_dropout=0", "aggregator.module.dropout=0"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [*settings, *overrides])


def _data(inputs: dict[str, str], **changes: Any) -> SkuDataModule:
    return SkuDataModule(inputs, **({"batch_size": 3, "seed": 0} | changes))


class Pool(pl.LightningModule):
    """Pools as told: stands for an aggregator, trained or not."""

    def __init__(self, pool: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        return self.pool(views, meta)


MEAN = Pool(lambda views, meta: F.normalize(views.mean(dim=1), dim=-1))
FIRST = Pool(lambda views, meta: views[:, 0])
LAST = Pool(lambda views, meta: views[:, -1])


NOTHING = {
    "queries": 0, "skus": 0, "pairs": 0, "gain": 0.0, "standard_error": 0.0, "p": 1.0, "false_positive_rate": 0.05,
    "trained_is_kept": False,
}  # fmt: skip


def _decided(inputs: dict[str, str], out: Path, trained: Pool, start: Pool = MEAN) -> Any:
    """The proof from dev queries alone."""
    out.mkdir()
    cfg = _config("stages.fingerprint.folds=0")
    kept = is_proven(cfg, inputs, start, trained, _data(inputs), out)
    proof = read_json(out / "proof.json")
    assert proof["trained_is_kept"] is kept
    return proof


def _hand_made(asked: dict[int, list[tuple[tuple[float, ...], tuple[float, ...]]]]) -> list[Sample]:
    """Three SKUs of two views: a query's scores of their first views and of their last ones are those given."""
    samples = []
    axes = np.eye(DIM, dtype=np.float32)
    for sku in range(3):
        queries = np.zeros((len(asked.get(sku, [])), DIM), np.float32)
        for row, (of_first, of_last) in zip(queries, asked.get(sku, []), strict=True):
            row[:6] = of_first + of_last
        samples.append(_sample("dev", sku, axes[[sku, 3 + sku]], queries, [0, 0]))
    return samples


# ---- What is measured ----


def test_the_proof_by_hand(tmp_path: Path) -> None:
    asked = {
        0: [((0.9, 0.0, 0.0), (0.5, 0.0, 0.6))] * 2,  # rank 1 by first views, 2 by last ones
        1: [((0.0, 0.9, 0.0), (0.0, 0.7, 0.1)), ((0.0, 0.9, 0.0), (0.6, 0.1, 0.5))],  # 1 and 1; 1 and 3
    }
    inputs = _embedded(tmp_path / "embed", dev=_hand_made(asked))
    found, skus, before, pairs = gains(FIRST, LAST, _data(inputs), "dev", lambda pair, pool: True)
    assert before.tolist() == [1, 1, 1, 1]
    assert pairs == ["dev/0", "dev/0", "dev/1", "dev/1"]
    assert found.tolist() == pytest.approx([-1 / 2, -1 / 2, 0, -2 / 3])
    assert skus == ["dev/sku-0", "dev/sku-0", "dev/sku-1", "dev/sku-1"]
    # The mean is -5/12; residuals add up to -1/6 in SKU 0 and 1/6 in SKU 1.
    counted = {"queries": 4, "skus": 2, "pairs": 2, "standard_error": pytest.approx((2 / 36 * 2) ** 0.5 / 4)}
    counted |= {"false_positive_rate": 0.05, "trained_is_kept": False}
    worse = _decided(inputs, tmp_path / "worse", trained=LAST, start=FIRST)
    assert worse == counted | {
        "gain": pytest.approx(-5 / 12),
        "p": 1,
    }  # sums -1, -2/3 and, unseen, -2: the lowest total
    # Sums +1 and +2/3, and unseen -(2/2 + 1 + 1/3) / 2 = -7/6: of 8 patterns those with a total of 1/2 or more.
    better = _decided(inputs, tmp_path / "better", trained=FIRST, start=LAST)
    assert better == counted | {"gain": pytest.approx(5 / 12), "p": 4 / 8}


def test_a_gain_of_many_pairs_is_proven_and_of_their_siblings_in_one_pair_is_not(tmp_path: Path) -> None:
    """Every query rises from rank 2 to 1; twelve pairs say so, or one pair of twelve SKUs."""
    samples = []
    for i in range(12):
        views = np.zeros((2, 40), np.float32)
        views[0, 1 + (i + 1) % 12] = views[1, 1 + i] = 1  # the first view is the next SKU's garment
        samples.append(_sample("dev", i, views, views[1:], [0, 0]))
    proofs = [_decided(_embedded(tmp_path / "a", dev=samples), tmp_path / "many", trained=LAST, start=FIRST)]
    for sample in samples:
        sample["meta"]["pair_id"] = 7
    proofs += [_decided(_embedded(tmp_path / "b", dev=samples), tmp_path / "one", trained=LAST, start=FIRST)]
    assert [(p["gain"] > 0.5, p["skus"], p["pairs"], p["trained_is_kept"]) for p in proofs] == [
        (True, 12, 12, True), (True, 12, 1, False)
    ]  # fmt: skip
    assert proofs[0]["p"] == pytest.approx(2 / 2**13)  # of one sign each, or with the unseen pair's turned


@pytest.mark.parametrize(("pairs", "kept"), [(4, False), (5, True)])
def test_the_rate_of_false_proofs_decides(tmp_path: Path, pairs: int, kept: bool) -> None:
    """Where every pair gains alike, two of 2^(pairs + 1) patterns of signs have that total: 6.25 % or 3.125 %."""
    samples = []
    for i in range(pairs):
        views = np.zeros((2, 40), np.float32)
        views[0, 1 + (i + 1) % pairs] = views[1, 1 + i] = 1
        samples.append(_sample("dev", i, views, views[1:], [0, 0]))
    proof = _decided(_embedded(tmp_path / "embed", dev=samples), tmp_path / "out", trained=LAST, start=FIRST)
    assert proof["p"] == pytest.approx(2 / 2 ** (pairs + 1))
    assert proof["false_positive_rate"] == 0.05
    assert proof["trained_is_kept"] is kept


def test_a_gain_within_its_standard_error_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        0: [((0.1, 0.9, 0.5), (0.9, 0.0, 0.0))],  # from rank 3 to 1: + 2/3
        1: [((0.0, 0.9, 0.0), (0.9, 0.5, 0.0))],  # from rank 1 to 2: - 1/2
    }
    inputs = _embedded(tmp_path / "embed", dev=_hand_made(asked))
    proof = _decided(inputs, tmp_path / "out", trained=LAST, start=FIRST)
    assert proof["gain"] == pytest.approx(1 / 12)
    assert proof["standard_error"] == pytest.approx((2 * (7 / 12) ** 2 * 2) ** 0.5 / 2)
    assert not proof["trained_is_kept"]
    assert "the start is kept" in capsys.readouterr().out


def test_one_skus_luck_among_many_that_stay_proves_nothing(tmp_path: Path) -> None:
    asked = {
        0: [((0.1, 0.9, 0.5), (0.9, 0.0, 0.0))],  # from rank 3 to 1
        1: [((0.0, 0.9, 0.0), (0.0, 0.9, 0.0))],
        2: [((0.0, 0.0, 0.9), (0.0, 0.0, 0.9))],
    }
    inputs = _embedded(tmp_path / "embed", dev=_hand_made(asked))
    proof = _decided(inputs, tmp_path / "out", trained=LAST, start=FIRST)
    assert proof["gain"] == pytest.approx(proof["standard_error"])
    assert proof["gain"] > 0
    assert not proof["trained_is_kept"]


def test_neither_the_start_itself_nor_what_is_no_number_is_kept(tmp_path: Path) -> None:
    inputs = _embedded(tmp_path / "embed", dev=_skus("dev", 6, useful=True))
    proof = _decided(inputs, tmp_path / "out", trained=MEAN)
    assert proof == NOTHING | {"queries": 12, "skus": 6, "pairs": 6}
    diverged = Pool(lambda views, meta: views[:, 0] * float("nan"))
    assert _decided(inputs, tmp_path / "nan", trained=diverged)["gain"] < -0.2  # every rank is the last


def _naive_rank(query: np.ndarray, gallery: np.ndarray, own: int) -> int:
    rank = 1
    for number, vector in enumerate(gallery):
        rank += int(number != own and float(query @ vector) >= float(query @ gallery[own]))
    return rank


@pytest.mark.parametrize("block", [1024, 3])
def test_gains_of_chosen_queries_against_a_naive_loop(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skufp.stages.fit.proof.BLOCK", block)
    skus = _skus("train", 11, useful=True)
    for sample in skus:
        sample["meta"]["pools"] = ["held_out", "learn"]
    data = _data(_embedded(tmp_path / "embed", train=skus))  # four batches, the last of two SKUs
    found, names, *_ = gains(FIRST, MEAN, data, "train", lambda pair, pool: pair % 2 == 1 and pool == "learn")
    first = np.stack([s["views"][0] for s in skus])
    mean = _unit(np.stack([s["views"].mean(axis=0) for s in skus]))
    expected = [
        1 / _naive_rank(skus[i]["queries"][1], mean, i) - 1 / _naive_rank(skus[i]["queries"][1], first, i)
        for i in range(1, 11, 2)
    ]
    assert names == [f"train/sku-{i}" for i in range(1, 11, 2)]
    assert found.tolist() == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_reciprocal_ranks_count_ties_against_us() -> None:
    gallery = np.eye(3, dtype=np.float32)
    found = reciprocal_ranks(np.array([[0, 1, 1], [0.5, 0.2, 0.1], [1, 1, 1]]), gallery, np.array([1, 2, 0]))
    assert found.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 3])


# ---- Where the evidence comes from ----

QUICK = (
    "stages.fingerprint.steps=8",
    "stages.fingerprint.module.lr=0.02",
    "stages.fingerprint.datamodule.batch_size=8",
)


def _proof(inputs: dict[str, str], out: Path, *overrides: str) -> dict[str, Any]:
    """The proof of an aggregator that was trained a little."""
    out.mkdir()
    cfg = _config(*QUICK, *overrides)
    spec = plain(cfg.stages.fingerprint)
    data = build(spec["datamodule"], inputs=inputs, steps=spec["steps"])
    is_proven(cfg, inputs, MEAN, FIRST, data, out)
    return read_json(out / "proof.json")


def test_evidence_is_all_of_dev_and_every_held_out_train_query_once(tmp_path: Path) -> None:
    train, dev = _skus("train", 12, useful=True), _skus("dev", 5, useful=True)
    train[0]["meta"]["pools"] = ["learn", "learn"]
    both = _embedded(tmp_path / "both", train=train, dev=dev)
    no_dev = _embedded(tmp_path / "no_dev", train=train)
    counts = {
        (name, folds): _proof(inputs, tmp_path / f"{name}-{folds}", f"stages.fingerprint.folds={folds}")
        for name, inputs in (("both", both), ("no_dev", no_dev))
        for folds in (0, 3)
    }
    assert {key: (proof["queries"], proof["skus"]) for key, proof in counts.items()} == {
        ("both", 0): (10, 5), ("both", 3): (32, 16), ("no_dev", 0): (0, 0), ("no_dev", 3): (22, 11),
    }  # fmt: skip
    assert counts["no_dev", 0] == NOTHING
    cfg = _config(*QUICK, "stages.fingerprint.folds=3", "fingerprint_seed=4")
    parts = [cross_fitted(cfg, both, MEAN, fold)[1] for fold in range(3)]
    for fold, skus in enumerate(parts):
        own = [i for i in range(1, 12) if fold_of_pair(i, 3, 4) == fold]
        assert skus == [f"train/sku-{i}" for i in own for _ in range(2)]
    assert sum(map(len, parts)) == 22


def test_a_left_out_query_changes_its_own_gain_and_no_other(tmp_path: Path) -> None:
    """Of the fold that leaves it out; the other fold learns from it."""
    train = _skus("train", 16, useful=True)
    turned = [s | {"queries": -s["queries"]} if s["meta"]["pair_id"] == 5 else s for s in train]
    before, after = _embedded(tmp_path / "a", train=train), _embedded(tmp_path / "b", train=turned)
    cfg, own = _config(*QUICK), fold_of_pair(5, 2, 0)
    found = [[cross_fitted(cfg, inputs, MEAN, fold) for fold in (own, 1 - own)] for inputs in (before, after)]
    (left_out, learnt), (left_out_turned, learnt_turned) = found
    assert left_out[1] == left_out_turned[1]
    changed = left_out[0] != left_out_turned[0]
    assert {sku for sku, differs in zip(left_out[1], changed, strict=True) if differs} == {"train/sku-5"}
    assert (left_out[0] != 0).any()
    assert "train/sku-5" not in learnt[1]
    assert (learnt[0] != learnt_turned[0]).any()


def test_any_stage_may_train_another_without_a_fold(tmp_path: Path) -> None:
    """The module is the one that the proof scores, though the folds are not the spec's own and another stage asks."""
    inputs = _embedded(tmp_path / "embed", train=_skus("train", 12, useful=True))
    cfg = _config(*QUICK, "stages.fingerprint.folds=3")
    found, skus, *_ = cross_fitted(cfg, inputs, MEAN, 1)
    other = _config(*QUICK, "stage=actions", "stages.fingerprint.folds=2")
    module, data = fit_without(other, plain(other.stages.fingerprint), inputs, (1, 3))
    again, same, *_ = gains(MEAN, module, data, "train", lambda pair, pool: fold_of_pair(pair, 3, 0) == 1)
    assert same == skus
    assert (found != 0).any()
    np.testing.assert_array_equal(again, found)


def test_queries_of_other_pools_and_splits_do_not_enter(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    train, dev = _skus("train", 12, useful=True), _skus("dev", 4, useful=True)
    proofs = []
    for name, size, more in (("plain", 1.0, False), ("extreme", 1000.0, True)):
        mixed = []
        for s in train:
            extra = size * _unit(rng.normal(size=(2, DIM)))
            ids = {"query_ids": [*s["meta"]["query_ids"], "x", "y"], "pools": [*s["meta"]["pools"], "learn", "learn"]}
            mixed.append(s | {"queries": np.concatenate([s["queries"], extra]), "meta": s["meta"] | ids})
        splits = {"train": mixed, "dev": dev}
        if more:
            strange = [s | {"views": -500 * s["views"], "queries": 900 * s["queries"]} for s in _skus("dev", 9, True)]
            splits |= {"validation": strange, "test": strange}
        inputs = _embedded(tmp_path / name, **splits)
        proofs.append(_proof(inputs, tmp_path / f"{name}-out"))
    assert proofs[0] == proofs[1]
    both = "stages.fingerprint.datamodule.query_pools=[held_out,learn]"
    assert _proof(inputs, tmp_path / "both-out", both)["queries"] == proofs[0]["queries"] + 24


# ---- What comes of it ----


def _fit(inputs: dict[str, str], out: Path, *overrides: str) -> tuple[VectorTable, dict[str, Any]]:
    """Run the stage; return its fingerprints and what it decided (nothing, where it does not ask)."""
    out.mkdir()
    with torch.random.fork_rng(devices=[]):
        fit.run(_config(*overrides), {name: Path(path) for name, path in inputs.items()}, out)
    proof = out / "proof.json"
    return VectorTable.load(out, "fingerprints.npy", "skus.parquet"), read_json(proof) if proof.exists() else {}


def _by_naive_loop(table: VectorTable, skus: list[Sample]) -> float:
    """The mean reciprocal rank of a split's queries."""
    gallery = np.asarray(table.where(split=skus[0]["meta"]["split"]).vectors)
    ranks = [_naive_rank(q, gallery, i) for i, s in enumerate(skus) for q in s["queries"]]
    return float(np.mean(1 / np.array(ranks)))


FITTED = ("stages.fingerprint.steps=60", "stages.fingerprint.module.lr=0.01", "loss.temperature=0.1")


def test_what_truly_helps_is_kept(tmp_path: Path) -> None:
    """Queries lie at the view with one viewpoint: that can be learnt, and holds for SKUs that were never seen."""
    train, unseen = _skus("train", 100, useful=True), _skus("validation", 40, useful=True)
    inputs = _embedded(tmp_path / "embed", train=train, dev=_skus("dev", 12, useful=True), validation=unseen)
    table, proof = _fit(inputs, tmp_path / "out", *FITTED)
    assert proof["trained_is_kept"]
    assert proof["gain"] > 3 * proof["standard_error"] > 0
    assert proof["p"] < 0.01
    assert (proof["queries"], proof["skus"]) == (224, 112)
    means = VectorTable(
        _unit(np.stack([s["views"].mean(axis=0) for s in unseen])), table.where(split="validation").rows
    )
    assert _by_naive_loop(table, unseen) > _by_naive_loop(means, unseen) + 0.1


@pytest.mark.slow
def test_what_was_learnt_of_noise_is_not_kept(tmp_path: Path) -> None:
    train, unseen = _skus("train", 24, useful=False), _skus("validation", 8, useful=False)
    inputs = _embedded(tmp_path / "embed", train=train, dev=_skus("dev", 12, useful=False), validation=unseen)
    short = (*FITTED, "stages.fingerprint.steps=30")
    table, proof = _fit(inputs, tmp_path / "out", *short)
    assert proof["trained_is_kept"] is False
    assert proof["gain"] < 0
    everyone = itertools.chain(_skus("dev", 12, useful=False), train, unseen)
    order = {(s["meta"]["split"], s["meta"]["sku_id"]): s["views"].mean(axis=0) for s in everyone}
    means = _unit(np.stack([order[key] for key in table.sku_keys()]))
    np.testing.assert_allclose(table.vectors, means, atol=1e-6)
    unasked, no_proof = _fit(inputs, tmp_path / "last", *short, "stages.fingerprint.keep=last")
    assert no_proof == {}
    assert np.abs(unasked.vectors - means).max() > 0.05
