"""stage=teacher: which view of a SKU answers its held-out train queries best, cross-fitted over folds."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, QUERY
from skufp.artifacts.teachers import write_teachers
from skufp.artifacts.vectors import SkuGroups, VectorTable

VERSION = 1


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write teachers.parquet (fold -1: all held-out queries; fold k: without those of fold k) and report.json."""
    from skufp.data.splits import HELD_OUT

    table = VectorTable.load(inputs["embed"]).where(split="train")
    views = table.where(domain=CATALOG)
    queries = table.where(domain=QUERY, pool=HELD_OUT)
    folds = fold_of_query(queries, int(cfg.stages.teacher.folds))
    rows: list[dict[str, Any]] = []
    if len(views):
        for fold in range(-1, int(cfg.stages.teacher.folds)):
            chosen = queries if fold < 0 else queries.take(np.flatnonzero(folds != fold))
            rows += select(views, chosen, fold)
    write_teachers(out, rows)
    write_json(out / "report.json", summary(rows))


def fold_of_query(queries: VectorTable, folds: int) -> np.ndarray:
    """Deal every SKU's queries to folds in turn, so that folds are even where a SKU has several."""
    seen: dict[str, int] = {}
    result = np.zeros(len(queries), np.int64)
    for i, sku in enumerate(queries.rows["sku_id"].to_pylist()):
        result[i] = seen.get(sku, len(seen)) % folds
        seen[sku] = seen.get(sku, len(seen)) + 1
    return result


def select(views: VectorTable, queries: VectorTable, fold: int) -> list[dict[str, Any]]:
    """Return one row per view; SKUs without a query of this fold say that the mean stands in."""
    from skufp.retrieval.teacher import best_views, score_views

    groups = SkuGroups.of(views)
    number = groups.number
    sku_of_query = np.array([number[key] for key in queries.sku_keys()], int)
    scores = score_views(np.asarray(views.vectors), groups.of_row, np.asarray(queries.vectors), sku_of_query)
    best = best_views(scores, groups.of_row)
    return [
        {
            "split": split, "sku_id": sku, "view_id": view, "row": i, "fold": fold, "queries": int(scores.queries[i]),
            "rank": float(scores.rank[i]), "reciprocal_rank": float(scores.reciprocal_rank[i]),
            "recall@1": float(scores.recall_at_1[i]), "margin": float(scores.margin[i]), "is_teacher": bool(best[i]),
            "fallback": scores.queries[i] == 0,
        }
        for i, (split, sku, view) in enumerate(
            zip(*(views.rows[c].to_pylist() for c in ("split", "sku_id", "view_id")), strict=True)
        )
    ]  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often a SKU has a teacher, how often it is not the first view, and what it gains."""
    by_sku: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["fold"] == -1:
            by_sku.setdefault(row["sku_id"], []).append(row)
    taught = [own for own in by_sku.values() if any(r["is_teacher"] for r in own)]
    several = [own for own in taught if len(own) > 1]
    gains = [max(r["reciprocal_rank"] for r in own) - own[0]["reciprocal_rank"] for own in several]
    return {
        "skus": len(by_sku),
        "skus_with_teacher": len(taught),
        "skus_falling_back_to_mean": len(by_sku) - len(taught),
        "skus_with_several_views": len(several),
        "teacher_is_not_first_view": float(np.mean([not own[0]["is_teacher"] for own in several])) if several else None,
        "reciprocal_rank_gain_over_first_view": float(np.mean(gains)) if gains else None,
    }
