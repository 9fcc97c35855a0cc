"""The FAISS callback: at the end of every validation it ranks dev queries over dev SKUs.

Logs val/recall@k, val/mrr, val/teacher_agreement, search latency and the size of the index.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch

from skufp.retrieval.index import SkuIndex
from skufp.retrieval.latency import percentiles
from skufp.retrieval.metrics import summarise
from skufp.retrieval.ranks import ranks
from skufp.retrieval.representations import mean_of_views, normalise


class Seen(NamedTuple):
    """A validation's results: vectors [N, D], SKU ids [N], is_query [N], and the views [V, D] of each gallery SKU."""

    vectors: np.ndarray
    skus: np.ndarray
    is_query: np.ndarray
    views: dict[str, np.ndarray]


class FaissRetrieval(pl.Callback):
    """Collects the outputs of validation_step: ``vectors`` [N, D], ``sku`` (N ids), ``is_query`` [N].

    Optional: ``row`` [N], each vector's number in its split, and the gallery's ``views`` [B, V, D] with ``mask``
    [B, V] for the teacher agreement. With several processes each has a share of the rows, possibly empty; the first
    process ranks all rows and the others log its metrics.
    """

    def __init__(self, latency_queries: int = 100) -> None:
        self.latency_queries = latency_queries
        self._reset()

    def _reset(self) -> None:
        self.vectors: list[np.ndarray] = []
        self.skus: list[str] = []
        self.is_query: list[bool] = []
        self.rows: list[int] = []
        self.views: dict[str, np.ndarray] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Clear the last validation."""
        self._reset()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Store the batch's vectors."""
        self.vectors.append(outputs["vectors"].detach().float().cpu().numpy())
        self.skus += outputs["sku"]
        self.is_query += outputs["is_query"].tolist()
        if "row" in outputs:
            self.rows += outputs["row"].tolist()
        if "views" in outputs:
            for sku, views, mask in zip(batch["sku_id"], outputs["views"], outputs["mask"], strict=True):
                self.views[sku] = views[mask].float().cpu().numpy()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Join the results of all processes, rank, and log. Every process takes part in every exchange."""
        if trainer.sanity_checking:
            return
        seen = self._gathered(trainer)
        problem, metrics = "", {}
        if trainer.is_global_zero:
            problem, metrics = self._miscount(trainer, seen), self._metrics(seen)
        problem, metrics = trainer.strategy.broadcast((problem, metrics))
        if problem:
            raise RuntimeError(problem)
        pl_module.log_dict({f"val/{k}": v for k, v in metrics.items()}, batch_size=1)

    def _gathered(self, trainer: pl.Trainer) -> Seen:
        """Join all processes' rows; rows with numbers are joined by number, each once."""
        mine = (self.vectors, self.skus, self.is_query, self.rows, self.views)
        parts: list[Any] = [mine]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, mine)
        vectors = [v for part in parts for v in part[0]]
        joined = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
        skus = np.array([s for part in parts for s in part[1]], dtype=str)
        is_query = np.array([q for part in parts for q in part[2]], dtype=bool)
        rows = [r for part in parts for r in part[3]]
        order = np.unique(rows, return_index=True)[1] if rows else np.arange(len(joined))
        views = {sku: v for part in parts for sku, v in part[4].items()}
        return Seen(joined[order], skus[order], is_query[order], views)

    @staticmethod
    def _miscount(trainer: pl.Trainer, seen: Seen) -> str:
        """Return a message where rows are missing or repeated; "" if all are there."""
        expected = getattr(trainer.datamodule, "expected", {})  # type: ignore[attr-defined]
        for part, count in (("gallery", int((~seen.is_query).sum())), ("query", int(seen.is_query.sum()))):
            if part in expected and expected[part] != count:
                return f"validation saw {count} {part} rows, the shards hold {expected[part]}"
        return ""

    def _metrics(self, seen: Seen) -> dict[str, float]:
        """Return the metrics of all queries whose SKU is in the gallery; empty without such queries."""
        names, number = np.unique(seen.skus[~seen.is_query], return_inverse=True)
        place = {sku: i for i, sku in enumerate(names)}
        target = np.array([place.get(sku, -1) for sku in seen.skus[seen.is_query]], dtype=np.int64)
        queries = normalise(seen.vectors[seen.is_query])[target >= 0]
        if len(queries) == 0:
            return {}
        gallery = mean_of_views(seen.vectors[~seen.is_query], number, len(names))
        return self._measure(gallery, queries, target[target >= 0], list(names), seen.views)

    def _measure(
        self, gallery: np.ndarray, queries: np.ndarray, target: np.ndarray, names: list[str],
        views: dict[str, np.ndarray],
    ) -> dict[str, float]:  # fmt: skip
        index = SkuIndex.build(gallery)
        metrics = summarise(ranks(index, queries, target))
        latency = percentiles(lambda q: index.search(q[None], 10), queries[: self.latency_queries])
        metrics |= {f"search_{k}": v for k, v in latency.items()}
        metrics["index_bytes"] = float(index.nbytes)
        if views:
            by_name = [views.get(name, gallery[:0]) for name in names]
            metrics["teacher_agreement"] = teacher_agreement(gallery, queries, target, by_name)
        return metrics


def teacher_agreement(
    gallery: np.ndarray, queries: np.ndarray, target: np.ndarray, views: Sequence[np.ndarray]
) -> float:
    """Return the share of queried SKUs whose fingerprint is nearest to the view that ranks best for their queries.

    gallery [S, D]; queries [Q, D] with the SKU of each, target [Q]; views [V, D] of each of the S SKUs. NaN where no
    queried SKU has two views.
    """
    by_sku: dict[int, list[np.ndarray]] = defaultdict(list)
    for query, sku in zip(queries, target, strict=True):
        by_sku[int(sku)].append(query)
    agreed = []
    for sku, own in by_sku.items():
        if len(views[sku]) > 1:
            best = int((np.stack(own) @ views[sku].T).mean(axis=0).argmax())
            agreed.append(float((views[sku] @ gallery[sku]).argmax() == best))
    return float(np.mean(agreed)) if agreed else float("nan")
