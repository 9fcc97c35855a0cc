"""Full passes: every row exactly once, whatever the number of processes."""

from typing import Any

import pytest
import torch

from skufp.data.full_pass import full_pass
from skufp.models.preprocessing import Preprocessing

NAMES = ["train-catalog", "train-query"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [4, 1000])
def test_each_row_is_seen_once(prepared: Any, workers: int, batch_size: int) -> None:
    batches = list(full_pass(prepared.shards, NAMES, Preprocessing(8), batch_size, workers))
    rows = torch.cat([batch["row"] for batch in batches])
    records = prepared.of("train")
    assert sorted(rows.tolist()) == list(range(len(records)))
    for batch in batches:
        assert batch["pixels"].shape == (len(batch["row"]), 3, 8, 8)
        assert batch["pixels"].dtype == torch.float32
        assert len(batch["row"]) <= batch_size
        for row, meta, pixels in zip(batch["row"].tolist(), batch["meta"], batch["pixels"], strict=True):
            assert records[row].view_id == f"{meta['image_id']}_item{meta['item_idx']}"
            assert float(pixels.mean()) == pytest.approx(3 * int(meta["image_id"]) / 127.5 - 1, abs=0.02)


def test_a_second_pass_sees_the_same(prepared: Any) -> None:
    loader = full_pass(prepared.shards, NAMES, Preprocessing(8), 5, 0)
    first, second = ([b["row"].tolist() for b in loader] for _ in range(2))
    assert first == second


def test_a_name_without_shards_is_left_out(prepared: Any) -> None:
    batches = list(full_pass(prepared.shards, ["dev-catalog", "validation-query"], Preprocessing(8), 100, 0))
    assert sum(len(b["row"]) for b in batches) == sum(r.domain == "catalog" for r in prepared.of("dev"))


@pytest.mark.parametrize(("world", "workers"), [(2, 0), (3, 0), (200, 0), (2, 2), (3, 1)])
def test_processes_share_the_rows_of_any_number_of_shards(prepared: Any, world: int, workers: int) -> None:
    rows = [
        row
        for rank in range(world)
        for batch in full_pass(prepared.shards, NAMES, Preprocessing(8), 4, workers, rank, world)
        for row in batch["row"].tolist()
    ]
    assert sorted(rows) == list(range(len(prepared.of("train"))))
