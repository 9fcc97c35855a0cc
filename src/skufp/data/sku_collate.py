"""SKU samples into batches: views padded to a mask, queries joined, teachers looked up.

Legend: B SKUs, V views (padded), Q queries of the batch, M counterfactuals of the batch, D dim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skufp.data.sku_teachers import NOBODY, Teachers

META = ("viewpoint", "occlusion", "zoom_in", "generated")
Samples = list[dict[str, Any]]


def collate_all(samples: Samples) -> dict[str, Any]:
    """Return {views [B, V, D], mask [B, V], meta [B, V, 4], queries [Q, D], query_target [Q], sku_id, sku_meta}."""
    queries = [list(range(len(s["queries"]))) for s in samples]
    who = {"sku_id": [s["meta"]["sku_id"] for s in samples], "sku_meta": [s["meta"] for s in samples]}
    return pad_views(samples) | join_queries(samples, queries) | who


@dataclass
class TrainingCollate:
    """As collate_all, for training: hides views, keeps the queries of ``pools``, and adds what teaches.

    Adds ``bank_index`` [B] (rows in the bank), ``teacher`` [B, D] with ``teacher_weight`` [B], ``all_views`` [B, V]
    (the mask before views were hidden), ``query_teacher`` [Q, D] with ``query_teacher_weight`` [Q]: the view chosen
    without that query's fold. With ``hidden_views_ask`` the hidden views join the queries. With ``negatives`` the
    SKUs' counterfactuals come along: ``negatives`` [M, D] and ``negative_target`` [M], the SKU that each was drawn
    from. SKUs of a pair that ``is_left_out`` neither ask nor have a teacher.
    """

    teachers: Teachers
    bank_rows: Mapping[str, int]
    pools: tuple[str, ...]
    view_dropout: float = 0.0
    hidden_views_ask: bool = False
    is_left_out: Callable[[int], bool] = lambda pair_id: False
    negatives: bool = False

    def __call__(self, samples: Samples, rng: np.random.Generator) -> dict[str, Any]:
        """Return a batch."""
        used = [self._used(s["meta"]) for s in samples]
        batch = pad_views(samples) | join_queries(samples, used)
        batch["sku_id"] = [s["meta"]["sku_id"] for s in samples]
        batch["all_views"] = batch["mask"]
        batch["mask"] = drop_views(batch["mask"], self.view_dropout, rng)
        batch["bank_index"] = torch.tensor([self.bank_rows[sku] for sku in batch["sku_id"]])
        batch["teacher"], batch["teacher_weight"] = look_up([(s, self._teacher(s["meta"])) for s in samples])
        asked = [
            (s, self.teachers.of_query(s["meta"]["sku_id"], s["meta"]["query_ids"][i]))
            for s, own in zip(samples, used, strict=True)
            for i in own
        ]
        batch["query_teacher"], batch["query_teacher_weight"] = look_up(asked, samples[0]["views"].shape[1])
        if self.negatives:
            batch |= join_negatives(samples)
        if not self.hidden_views_ask:
            return batch
        asks = torch.tensor([not self.is_left_out(s["meta"]["pair_id"]) for s in samples])
        return hidden_views_as_queries(batch, asks)

    def _used(self, meta: dict[str, Any]) -> list[int]:
        if self.is_left_out(meta["pair_id"]):
            return []
        return [i for i, pool in enumerate(meta["pools"]) if pool in self.pools]

    def _teacher(self, meta: dict[str, Any]) -> tuple[str, float]:
        return NOBODY if self.is_left_out(meta["pair_id"]) else self.teachers.of_sku(meta["sku_id"])


def pad_views(samples: Samples) -> dict[str, Any]:
    """Return {views [B, V, D], mask [B, V], meta [B, V, 4]} of SKUs with different numbers of views."""
    most = max(len(s["views"]) for s in samples)
    padded = torch.zeros(len(samples), most, samples[0]["views"].shape[1])
    mask = torch.zeros(len(samples), most, dtype=torch.bool)
    columns = torch.zeros(len(samples), most, len(META), dtype=torch.long)
    for i, sample in enumerate(samples):
        count = len(sample["views"])
        padded[i, :count] = torch.from_numpy(sample["views"].astype(np.float32))
        mask[i, :count] = True
        columns[i, :count] = torch.from_numpy(np.array([sample["meta"][name] for name in META], np.int64).T)
    return {"views": padded, "mask": mask, "meta": columns}


def join_queries(samples: Samples, used: list[list[int]]) -> dict[str, Any]:
    """Return {queries [Q, D], query_target [Q]}: the ``used`` queries of every sample and their sample's number."""
    queries = np.concatenate([s["queries"][own] for s, own in zip(samples, used, strict=True)])
    target = [i for i, own in enumerate(used) for _ in own]
    return {
        "queries": torch.from_numpy(queries.astype(np.float32)),
        "query_target": torch.tensor(target, dtype=torch.long),
    }


def join_negatives(samples: Samples) -> dict[str, Any]:
    """Return {negatives [M, D], negative_target [M]}: every sample's counterfactuals and their sample's number."""
    drawn = np.concatenate([s["negatives"] for s in samples])
    target = [i for i, s in enumerate(samples) for _ in s["negatives"]]
    return {
        "negatives": torch.from_numpy(drawn.astype(np.float32)),
        "negative_target": torch.tensor(target, dtype=torch.long),
    }


def look_up(choices: list[tuple[dict[str, Any], tuple[str, float]]], dim: int = 0) -> tuple[Tensor, Tensor]:
    """Return the vectors [N, D] of (sample, (view_id, weight)) and their weights [N]; an unknown view weighs 0."""
    vectors, weights = [np.zeros((0, dim), np.float32)] if not choices else [], []
    for sample, (view, weight) in choices:
        ids = sample["meta"]["view_ids"]
        known = view in ids
        vectors.append(sample["views"][ids.index(view) if known else 0][None])
        weights.append(weight if known else 0.0)
    return torch.from_numpy(np.concatenate(vectors).astype(np.float32)), torch.tensor(weights)


def drop_views(mask: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Hide a share of the views; a SKU that would lose all of them keeps them all."""
    if not share:
        return mask
    keep = mask & torch.from_numpy(rng.random(tuple(mask.shape)) >= share)
    lost = ~keep.any(dim=1)
    keep[lost] = mask[lost]
    return keep


def hidden_views_as_queries(batch: dict[str, Any], asks: Tensor) -> dict[str, Any]:
    """Let the views that were hidden of SKUs that may ask, ``asks`` [B], ask for their SKU; they have no teacher."""
    owner, view = (batch["all_views"] & ~batch["mask"] & asks[:, None]).nonzero(as_tuple=True)
    hidden = batch["views"][owner, view]
    extra = {
        "queries": hidden, "query_target": owner, "query_teacher": hidden,
        "query_teacher_weight": torch.zeros(len(owner)),
    }  # fmt: skip
    return batch | {name: torch.cat([batch[name], value]) for name, value in extra.items()}
