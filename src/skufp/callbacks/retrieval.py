"""The FAISS callback: at the end of every validation it ranks dev queries over dev SKUs.

Logs val/recall@k, val/mrr, val/teacher_agreement, search latency and the size of the index.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from skufp.retrieval.index import SkuIndex, ranks
from skufp.retrieval.latency import percentiles
from skufp.retrieval.metrics import summarise
from skufp.retrieval.representations import mean_of_views, normalise


class FaissRetrieval(pl.Callback):
    """Collects what validation_step returns: ``vectors`` [N, D], ``sku`` (N ids), ``is_query`` [N].

    Optional: ``row`` [N], a number per vector that is unique over ranks (duplicates are dropped), and the
    gallery's ``views`` [B, V, D] with ``mask`` [B, V] for the teacher agreement.
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
        """Forget the last validation."""
        self._reset()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Keep the batch's vectors."""
        self.vectors.append(outputs["vectors"].detach().float().cpu().numpy())
        self.skus += outputs["sku"]
        self.is_query += outputs["is_query"].tolist()
        if "row" in outputs:
            self.rows += outputs["row"].tolist()
        if "views" in outputs:
            for sku, views, mask in zip(batch["sku_id"], outputs["views"], outputs["mask"], strict=True):
                self.views[sku] = views[mask].float().cpu().numpy()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Build the index, rank, and log."""
        if trainer.sanity_checking or not self.vectors:
            return
        vectors, skus, is_query = self._gathered(trainer)
        expected = getattr(trainer.datamodule, "expected", {})  # type: ignore[attr-defined]
        for part, count in (("gallery", int((~is_query).sum())), ("query", int(is_query.sum()))):
            if part in expected and expected[part] != count:
                raise RuntimeError(f"validation saw {count} {part} rows, the shards hold {expected[part]}")
        names, number = np.unique(np.array(skus)[~is_query], return_inverse=True)
        order = {sku: i for i, sku in enumerate(names)}
        target = np.array([order.get(sku, -1) for sku in np.array(skus)[is_query]], dtype=np.int64)
        queries = normalise(vectors[is_query])[target >= 0]
        if len(queries) == 0:
            return
        gallery = mean_of_views(vectors[~is_query], number, len(names))
        metrics = self._measure(gallery, queries, target[target >= 0], list(names))
        pl_module.log_dict({f"val/{k}": v for k, v in metrics.items()}, rank_zero_only=True, batch_size=1)

    def _gathered(self, trainer: pl.Trainer) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Join all ranks' rows and drop those that were seen twice."""
        vectors, is_query = np.concatenate(self.vectors), np.array(self.is_query)
        rows = np.array(self.rows) if self.rows else np.arange(len(vectors))
        skus = self.skus
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, (vectors, skus, is_query, rows))
            vectors = np.concatenate([p[0] for p in parts])
            skus = [s for p in parts for s in p[1]]
            is_query, rows = np.concatenate([p[2] for p in parts]), np.concatenate([p[3] for p in parts])
        _, first = np.unique(rows, return_index=True)
        return vectors[first], [skus[i] for i in first], is_query[first]

    def _measure(
        self, gallery: np.ndarray, queries: np.ndarray, target: np.ndarray, names: list[str]
    ) -> dict[str, float]:
        index = SkuIndex.build(gallery)
        metrics = summarise(ranks(index, queries, target))
        latency = percentiles(lambda q: index.search(q[None], 10), queries[: self.latency_queries])
        metrics |= {f"search_{k}": v for k, v in latency.items()}
        metrics["index_bytes"] = float(index.nbytes)
        if self.views:
            metrics["teacher_agreement"] = self._teacher_agreement(gallery, queries, target, names)
        return metrics

    def _teacher_agreement(
        self, gallery: np.ndarray, queries: np.ndarray, target: np.ndarray, names: list[str]
    ) -> float:
        """Share of queried SKUs whose fingerprint lies nearest to the view that answers their queries best."""
        by_sku: dict[int, list[np.ndarray]] = defaultdict(list)
        for query, sku in zip(queries, target, strict=True):
            by_sku[int(sku)].append(query)
        agreed = []
        for sku, own in by_sku.items():
            views = self.views.get(names[sku])  # of this rank
            if views is not None and len(views) > 1:
                best = int((np.stack(own) @ views.T).mean(axis=0).argmax())
                agreed.append(float((views @ gallery[sku]).argmax() == best))
        return float(np.mean(agreed)) if agreed else float("nan")
