"""Collation of SKU samples: views are padded, queries joined, teachers looked up.

Legend: B SKUs, V views (padded), Q queries of the batch, M counterfactuals of the batch, D dim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skufp.data.shards import SkuSample
from skufp.data.sku_teachers import NO_TEACHER, Teachers
from skufp.models.batches import FingerprintBatch, JoinedNegatives, JoinedQueries, PaddedViews, SkuBatch, SkuMeta

META = ("viewpoint", "occlusion", "zoom_in", "generated")
Samples = list[SkuSample]


def collate_all(samples: Samples) -> SkuBatch:
    """Return all views and queries of SKUs."""
    queries = [list(range(len(s["queries"]))) for s in samples]
    return {
        **pad_views(samples), **join_queries(samples, queries), "sku_id": [s["meta"]["sku_id"] for s in samples],
        "sku_meta": [s["meta"] for s in samples],
    }  # fmt: skip


@dataclass
class TrainingCollate:
    """As collate_all, for training: hides views, keeps the queries of ``pools``, and adds teachers.

    With ``hidden_views_ask`` the hidden views join the queries. With ``negatives`` the batch has the SKUs'
    counterfactuals. SKUs of a pair that ``is_left_out`` have neither queries nor a teacher.
    """

    teachers: Teachers
    bank_rows: Mapping[str, int]
    pools: tuple[str, ...]
    view_dropout: float = 0.0
    hidden_views_ask: bool = False
    is_left_out: Callable[[int], bool] = lambda pair_id: False
    negatives: bool = False

    def __call__(self, samples: Samples, rng: np.random.Generator) -> FingerprintBatch:
        """Return a batch."""
        used = [self._used(s["meta"]) for s in samples]
        padded, ids = pad_views(samples), [s["meta"]["sku_id"] for s in samples]
        teacher, teacher_weight = look_up([(s, self._teacher(s["meta"])) for s in samples])
        asked = [
            (s, self.teachers.of_query(s["meta"]["sku_id"], s["meta"]["query_ids"][i]))
            for s, own in zip(samples, used, strict=True)
            for i in own
        ]
        query_teacher, query_teacher_weight = look_up(asked, samples[0]["views"].shape[1])
        batch: FingerprintBatch = {
            **padded, **join_queries(samples, used), "sku_id": ids, "all_views": padded["mask"],
            "bank_index": torch.tensor([self.bank_rows[sku] for sku in ids]),
            "teacher": teacher, "teacher_weight": teacher_weight,
            "query_teacher": query_teacher, "query_teacher_weight": query_teacher_weight,
        }  # fmt: skip
        batch["mask"] = drop_views(padded["mask"], self.view_dropout, rng)
        if self.negatives:
            batch = {**batch, **join_negatives(samples)}
        if not self.hidden_views_ask:
            return batch
        asks = torch.tensor([not self.is_left_out(s["meta"]["pair_id"]) for s in samples])
        return hidden_views_as_queries(batch, asks)

    def _used(self, meta: SkuMeta) -> list[int]:
        if self.is_left_out(meta["pair_id"]):
            return []
        return [i for i, pool in enumerate(meta["pools"]) if pool in self.pools]

    def _teacher(self, meta: SkuMeta) -> tuple[str, float]:
        return NO_TEACHER if self.is_left_out(meta["pair_id"]) else self.teachers.of_sku(meta["sku_id"])


def pad_views(samples: Samples) -> PaddedViews:
    """Return the views of SKUs with different numbers of views."""
    most = max(len(s["views"]) for s in samples)
    padded = torch.zeros(len(samples), most, samples[0]["views"].shape[1])
    mask = torch.zeros(len(samples), most, dtype=torch.bool)
    columns = torch.zeros(len(samples), most, len(META), dtype=torch.long)
    for i, sample in enumerate(samples):
        count = len(sample["views"])
        padded[i, :count] = torch.from_numpy(sample["views"].astype(np.float32))
        mask[i, :count] = True
        about: Mapping[str, object] = sample["meta"]
        columns[i, :count] = torch.from_numpy(np.array([about[name] for name in META], np.int64).T)
    return {"views": padded, "mask": mask, "meta": columns}


def join_queries(samples: Samples, used: list[list[int]]) -> JoinedQueries:
    """Return the ``used`` queries of every sample and the number of their sample."""
    queries = np.concatenate([s["queries"][own] for s, own in zip(samples, used, strict=True)])
    target = [i for i, own in enumerate(used) for _ in own]
    return {
        "queries": torch.from_numpy(queries.astype(np.float32)),
        "query_target": torch.tensor(target, dtype=torch.long),
    }


def join_negatives(samples: Samples) -> JoinedNegatives:
    """Return every sample's counterfactuals and the number of their sample."""
    drawn = np.concatenate([s["negatives"] for s in samples])
    target = [i for i, s in enumerate(samples) for _ in s["negatives"]]
    return {
        "negatives": torch.from_numpy(drawn.astype(np.float32)),
        "negative_target": torch.tensor(target, dtype=torch.long),
    }


def look_up(choices: list[tuple[SkuSample, tuple[str, float]]], dim: int = 0) -> tuple[Tensor, Tensor]:
    """Return the vectors [N, D] of (sample, (view_id, weight)) and their weights [N]; an unknown view weighs 0."""
    vectors, weights = [np.zeros((0, dim), np.float32)] if not choices else [], []
    for sample, (view, weight) in choices:
        ids = sample["meta"]["view_ids"]
        known = view in ids
        vectors.append(sample["views"][ids.index(view) if known else 0][None])
        weights.append(weight if known else 0.0)
    return torch.from_numpy(np.concatenate(vectors).astype(np.float32)), torch.tensor(weights)


def drop_views(mask: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Hide a random share of the views; a SKU that would lose all views keeps them all."""
    if not share:
        return mask
    keep = mask & torch.from_numpy(rng.random(tuple(mask.shape)) >= share)
    lost = ~keep.any(dim=1)
    keep[lost] = mask[lost]
    return keep


def hidden_views_as_queries(batch: FingerprintBatch, asks: Tensor) -> FingerprintBatch:
    """Add the hidden views of the SKUs marked in ``asks`` [B] to the queries, without a teacher."""
    owner, view = (batch["all_views"] & ~batch["mask"] & asks[:, None]).nonzero(as_tuple=True)
    hidden = batch["views"][owner, view]
    return {
        **batch,
        "queries": torch.cat([batch["queries"], hidden]),
        "query_target": torch.cat([batch["query_target"], owner]),
        "query_teacher": torch.cat([batch["query_teacher"], hidden]),
        "query_teacher_weight": torch.cat([batch["query_teacher_weight"], torch.zeros(len(owner))]),
    }
