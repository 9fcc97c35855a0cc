"""The policy's DataModule on a hand-made labels folder: rows, weights, folds, batches."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from skufp.artifacts.actions import ActionLabels, ActionNames, answers_table
from skufp.data.place import Place
from skufp.data.policy_datamodule import Draws, PolicyDataModule, sku_weights
from skufp.data.splits import fold_of_pair
from skufp.errors import UserError

DIM = 3
ACTIONS = ["identity", "sharpen", "adapt"]
SKUS = ["a", "a", "b", "c", "c", "c"]  # of every split


def _labels(folder: Path, splits: tuple[str, ...], actions: list[str] = ACTIONS) -> dict[str, str]:
    """Six queries a split, train with folds, dev and validation with twins; row n's vector and features say n."""
    rows: list[dict[str, Any]] = []
    for split in splits:
        for twin in (False, True) if split != "train" else (False,):
            for i, sku in enumerate(SKUS):
                rows.append({"number": len(rows), "split": split, "sku_id": sku, "pair_id": ord(sku), "fold": -1,
                             "view_id": f"{sku}{i}", "image_path": "", "twin": twin})  # fmt: skip
    number = np.arange(len(rows), dtype=np.float32)
    rank = np.stack([1 + number % 4, 1 + number % 3, 1 + number % 40], axis=1).astype(int)[:, : len(actions)]
    about = ActionNames(actions, {name: {"_target_": "x"} for name in actions[:2]}, ["sharpness", "noise"], "mark")
    names = ("number", "split", "sku_id", "pair_id", "view_id", "image_path", "fold", "twin")
    queries = pa.table({name: [row[name] for row in rows] for name in names})
    ActionLabels(
        queries, np.repeat(number[:, None], DIM, 1), np.stack([number, -number], 1),
        answers_table(rank, rank * 0.0, rank * 0.0, actions), about,
    ).save(folder)  # fmt: skip
    return {"actions": str(folder)}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    return _labels(tmp_path, ("train", "dev", "validation"))


def test_rows_are_train_and_dev_without_twins(inputs: dict[str, str]) -> None:
    data = PolicyDataModule(inputs, 4, seed=5)
    assert data.rows["train"]["embedding"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.rows["dev"]["embedding"][:, 0].tolist() == [6, 7, 8, 9, 10, 11]
    assert data.rows["dev"]["features"][0].tolist() == [6, -6]
    assert data.rows["train"]["utility"][3].tolist() == pytest.approx([0, math.log(4), 0])
    assert data.rows["dev"]["utility"][5, 2] == pytest.approx(math.log(4 / 12))
    assert data.rows["train"]["fold"].tolist() == [fold_of_pair(ord(sku), 4, 5) for sku in SKUS]
    assert data.rows["dev"]["fold"].tolist() == [-1] * 6
    assert (data.can_train, data.has_dev_queries, data.expected) == (True, True, {})


def test_every_sku_weighs_the_same() -> None:
    weight = sku_weights(np.array(SKUS))
    assert weight.tolist() == pytest.approx([1, 1, 2, 2 / 3, 2 / 3, 2 / 3])
    assert len(sku_weights(np.array([], "<U1"))) == 0


def test_the_module_is_told_names_and_sizes(inputs: dict[str, str]) -> None:
    assert PolicyDataModule(inputs, 4, seed=0, folds=3).module_arguments() == {
        "actions": ACTIONS, "features": ["sharpness", "noise"], "encoder": "mark", "dim": DIM, "folds": 3,
        "specs": {"identity": {"_target_": "x"}, "sharpen": {"_target_": "x"}},
    }  # fmt: skip


def test_evidence_is_train_then_dev_with_their_skus(inputs: dict[str, str]) -> None:
    rows, sku = PolicyDataModule(inputs, 4, seed=0).evidence()
    assert rows["embedding"][:, 0].tolist() == list(range(12))
    assert sku.tolist() == [f"train/{s}" for s in SKUS] + [f"dev/{s}" for s in SKUS]


def test_batches_are_drawn_without_repeats_by_number_and_seed(inputs: dict[str, str]) -> None:
    rows = PolicyDataModule(inputs, 4, seed=0).rows["train"]

    def drawn(steps: int, *place: int, size: int = 4, seed: int = 1) -> list[list[float]]:
        return [batch["embedding"][:, 0].tolist() for batch in Draws(rows, size, steps, seed, Place(*place))]

    seen = drawn(50)
    assert all(len(set(batch)) == 4 for batch in seen)
    assert {row for batch in seen for row in batch} == set(range(6))
    assert drawn(50) == seen
    assert drawn(50, seed=2) != seen
    assert drawn(50, 0, 1, 20) == seen[20:]
    assert [a + b for a, b in zip(drawn(50, 0, 2), drawn(50, 1, 2), strict=True)] == [b[::2] + b[1::2] for b in seen]
    assert sorted(drawn(1, size=100, seed=0)[0]) == list(range(6))


def test_batches_keep_rows_together(inputs: dict[str, str]) -> None:
    data = PolicyDataModule(inputs, 4, seed=0, steps=5)
    rows = data.rows["train"]
    batches = list(data.train_dataloader())
    assert len(batches) == 5
    for batch in batches:
        chosen = batch["embedding"][:, 0].long()
        assert all(torch.equal(batch[name], rows[name][chosen]) for name in rows)


def test_validation_is_all_of_dev_at_once(inputs: dict[str, str]) -> None:
    batches = list(PolicyDataModule(inputs, 4, seed=0).val_dataloader())
    assert [batch["embedding"][:, 0].tolist() for batch in batches] == [[6, 7, 8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("splits", "actions", "can_train", "has_dev"),
    [(("train", "validation"), ACTIONS, True, False), (("dev",), ACTIONS, False, True), ((), ACTIONS, False, False),
     (("train", "dev"), ["identity"], False, False)],
)  # fmt: skip
def test_what_is_missing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture, splits: tuple[str, ...], actions: list[str], can_train: bool,
    has_dev: bool,
) -> None:  # fmt: skip
    data = PolicyDataModule(_labels(tmp_path, splits, actions), 4, seed=0)
    assert (data.can_train, data.has_dev_queries) == (can_train, has_dev)
    data.attach(None)
    assert ("never act" in capsys.readouterr().out) is not can_train


@pytest.mark.parametrize("folds", [1, 0, -2, True])
def test_folds_that_mean_nothing_are_refused(inputs: dict[str, str], folds: int) -> None:
    with pytest.raises(UserError, match=rf"policy\.folds={folds}: give 2 or more"):
        PolicyDataModule(inputs, 4, seed=0, folds=folds)
