"""The FAISS callback in a real validation of a hand-made module."""

import math
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from skufp.callbacks.retrieval import FaissRetrieval


def _unit(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


class Known(pl.LightningModule):
    """Returns what the batch says."""

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Any]:
        return {k: batch[k] for k in ("vectors", "sku", "is_query", "row", "views", "mask") if k in batch}


class Batches(pl.LightningDataModule):
    """Hand-made validation batches, and how many rows there ought to be."""

    def __init__(self, batches: list[dict[str, Any]], **expected: int) -> None:
        super().__init__()
        self.batches, self.expected = batches, expected

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]


def _validate(data: Batches) -> dict[str, float]:
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[FaissRetrieval(latency_queries=3)],
    )  # fmt: skip
    trainer.validate(Known(), data, verbose=False)
    return {k: float(v) for k, v in trainer.callback_metrics.items()}


def _batch(rows: list[tuple[str, bool, float]], **more: Any) -> dict[str, Any]:
    return {
        "sku": [r[0] for r in rows], "is_query": torch.tensor([r[1] for r in rows]),
        "vectors": torch.tensor([_unit(r[2]) for r in rows]), **more,
    }  # fmt: skip


# SKUs at 0, 40 (the mean of 20 and 60), 90 and 180 degrees; the queries' ranks are 1, 2, 1 and 3.
GALLERY = [("a", False, 0.0), ("b", False, 20.0), ("b", False, 60.0), ("c", False, 90.0), ("d", False, 180.0)]
QUERIES = [("a", True, 5.0), ("a", True, 30.0), ("c", True, 120.0), ("d", True, 66.0)]


def test_known_angles_give_known_metrics() -> None:
    metrics = _validate(
        Batches([_batch(GALLERY[:3] + QUERIES[:2]), _batch(GALLERY[3:] + QUERIES[2:])], gallery=5, query=4)
    )
    ranks = [1, 2, 1, 4]  # the last query lies at 24 degrees from c, 26 from b, 66 from a, 114 from d
    assert metrics["val/recall@1"] == pytest.approx(2 / 4)
    assert metrics["val/recall@5"] == 1.0
    assert metrics["val/mrr"] == pytest.approx(sum(1 / r for r in ranks) / 4)
    assert metrics["val/index_bytes"] > 4 * 2 * 4
    assert metrics["val/search_p50_ms"] <= metrics["val/search_p95_ms"]


def test_rows_seen_twice_count_once() -> None:
    rows = GALLERY + QUERIES
    again = _batch([rows[8]], row=torch.tensor([8]))
    once = _validate(Batches([_batch(rows, row=torch.arange(9))]))
    twice = _validate(Batches([_batch(rows, row=torch.arange(9)), again, again], gallery=5, query=4))
    assert {k: v for k, v in once.items() if "_ms" not in k} == {k: v for k, v in twice.items() if "_ms" not in k}


@pytest.mark.parametrize(("part", "count"), [("gallery", 6), ("gallery", 4), ("query", 5)])
def test_wrong_counts_raise(part: str, count: int) -> None:
    with pytest.raises(RuntimeError, match=f"{part} rows, the shards hold {count}"):
        _validate(Batches([_batch(GALLERY + QUERIES)], **{part: count}))


def test_queries_without_a_gallery_photo_are_left_out() -> None:
    stranger = [("zz", True, 0.0), ("zz", True, 90.0)]
    with_stranger = _validate(Batches([_batch(GALLERY + QUERIES + stranger)]))
    assert with_stranger["val/mrr"] == pytest.approx((1 + 1 / 2 + 1 + 1 / 4) / 4)


def test_without_queries_nothing_is_logged() -> None:
    assert _validate(Batches([_batch(GALLERY)])) == {}


def test_vectors_need_not_have_unit_norm() -> None:
    rows = _batch(GALLERY + QUERIES)
    rows["vectors"][5:] *= 7.0
    assert _validate(Batches([rows]))["val/mrr"] == pytest.approx((1 + 1 / 2 + 1 + 1 / 4) / 4)


def test_a_diverged_model_does_not_look_good() -> None:
    """NaN has the worst rank, the number of SKUs; a model that sees all photos alike, too: ties count against it."""
    for value in (math.nan, 1.0):
        rows = _batch(GALLERY + QUERIES)
        rows["vectors"] = torch.full_like(rows["vectors"], value)
        metrics = _validate(Batches([rows]))
        assert metrics["val/recall@1"] == 0
        assert metrics["val/mrr"] == pytest.approx(1 / 4)


def test_teacher_agreement_by_hand() -> None:
    def padded(*angles: float) -> Tensor:
        return torch.tensor([_unit(angle) for angle in angles])

    # a: its fingerprint (0) is nearest to view 0, which also answers its queries best: agreed.
    # b: its fingerprint (50) is nearest to view 0 (60), but the query at 95 asks for view 1 (100): not agreed.
    # c has one view, so there is nothing to choose; d is never asked for.
    views = torch.stack([padded(2, 80), padded(60, 100), padded(90, 90), padded(180, 200)])
    mask = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
    gallery = [("a", False, 0.0), ("b", False, 50.0), ("c", False, 90.0), ("d", False, 180.0)]
    queries = [("a", True, 5.0), ("a", True, 10.0), ("b", True, 95.0), ("c", True, 90.0)]
    batch = _batch(gallery + queries, views=views, mask=mask, sku_id=["a", "b", "c", "d"])
    assert _validate(Batches([batch]))["val/teacher_agreement"] == pytest.approx(0.5)


def test_each_validation_starts_anew() -> None:
    callback = FaissRetrieval()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[callback],
    )  # fmt: skip
    for _ in range(2):
        trainer.validate(Known(), Batches([_batch(GALLERY + QUERIES)], gallery=5, query=4), verbose=False)
    assert len(np.concatenate(callback.vectors)) == 9
