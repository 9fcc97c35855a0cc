"""stage=teacher: selects the view of a SKU that ranks best for its held-out train queries, cross-fitted over folds."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, QUERY
from skufp.artifacts.teachers import write_query_folds, write_teachers
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.compute.device import device, set_threads
from skufp.errors import UserError, nearest
from skufp.output import PlainConsole
from skufp.reports.teachers import Choice, fallback_line, print_report, summary
from skufp.schema import Config

if TYPE_CHECKING:  # torch comes with it
    from skufp.retrieval.teacher import PairScores, ViewScores

VERSION = 2
CHOICES = BEST, RANDOM = "best", "random"
ALL = -1  # the fold that leaves out no query


@dataclass
class Train:
    """The train catalogue views [N] and the held-out train queries [Q], with the number of each row's SKU.

    Their rows have ``row``, the row number in the embed stage's table.
    """

    views: VectorTable
    queries: VectorTable
    sku_of_view: np.ndarray
    sku_of_query: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Train":
        """Read an embed folder, without other splits and without the retriever's training queries."""
        from skufp.data.splits import HELD_OUT

        table = VectorTable.load(folder)
        table = VectorTable(table.vectors, table.rows.append_column("row", pa.array(np.arange(len(table)))))
        views = table.where(split="train", domain=CATALOG)
        queries = table.where(split="train", domain=QUERY, pool=HELD_OUT)
        groups = SkuGroups.of(views)
        number = groups.number
        sku_of_query = np.array([number.get(key, -1) for key in queries.sku_keys()], np.int64)
        if lost := int((sku_of_query < 0).sum()):
            raise RuntimeError(f"{folder}: {lost} held-out train queries are of SKUs without a catalogue view")
        return cls(views, queries, groups.of_row, sku_of_query)


def check(cfg: Config) -> None:
    """Raise UserError for invalid settings before anything runs."""
    choose, folds = cfg.stages.teacher.choose, cfg.stages.teacher.folds
    if choose not in CHOICES:
        raise UserError(f"stages.teacher.choose={choose} is no way to choose a teacher.{nearest(str(choose), CHOICES)}")
    if not isinstance(folds, int) or folds < 2:
        raise UserError(
            f"stages.teacher.folds={folds}: cross-fitting needs a whole number of 2 folds or more:"
            " stages.teacher.folds=2"
        )


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write teachers.parquet, queries.parquet and report.json."""
    from skufp.retrieval.teacher import score_pairs

    set_threads(cfg)
    choose, folds, seed = (cfg.stages.teacher[name] for name in ("choose", "folds", "seed"))
    train = Train.load(inputs["embed"])
    views, queries = train.views, train.queries
    pairs = score_pairs(views.vectors, train.sku_of_view, queries.vectors, train.sku_of_query, device(cfg))
    fold_of_query = deal_folds(queries, folds, seed)
    table, teachers = select(train, pairs, fold_of_query, folds, choose, seed)
    write_teachers(out, table)
    write_query_folds(out, queries.rows.append_column("fold", pa.array(fold_of_query)))
    viewpoint, generated = (views.column(name) for name in ("viewpoint", "generated"))
    choice = Choice(pairs, train.sku_of_view, viewpoint, train.sku_of_query, fold_of_query, teachers, generated)
    report = {"choose": choose, "folds": folds, "seed": seed} | summary(choice, seed)
    write_json(out / "report.json", report)
    if report["skus_falling_back_to_mean"]:
        PlainConsole(stderr=True).print(f"teacher: {fallback_line(report)}", soft_wrap=True)


def deal_folds(queries: VectorTable, folds: int, seed: int) -> np.ndarray:
    """Return [Q]: assign queries to folds in turn, SKU by SKU, so that folds are even within SKUs and overall.

    The order of SKUs, and of queries in a SKU, is drawn from ``seed`` and ids, independent of the order of rows.
    """
    ids = [queries.rows[name].to_pylist() for name in ("sku_id", "view_id")]
    order = np.lexsort((draw(seed, *ids), draw(seed, ids[0])))
    result = np.empty(len(queries), np.int64)
    result[order] = np.arange(len(queries)) % folds
    return result


def draw(seed: int | str, *ids: list[str]) -> np.ndarray:
    """Return a random number [N] for every row of ``ids``, which depends only on ``seed`` and that row."""
    texts = ("\0".join((str(seed), *row)).encode() for row in zip(*ids, strict=True))
    return np.array([int.from_bytes(hashlib.blake2b(t, digest_size=8).digest(), "big") for t in texts], np.uint64)


def select(
    train: Train, pairs: "PairScores", fold_of_query: np.ndarray, folds: int, choose: str, seed: int
) -> tuple[pa.Table, np.ndarray]:
    """Return teachers.parquet's table and the teachers [1 + folds, S]: view numbers, -1 for none.

    Fold -1 chooses by all queries, fold k by the queries outside fold k.
    """
    from skufp.retrieval.teacher import best_views, random_views, view_scores

    ids = [train.views.rows[name].to_pylist() for name in ("sku_id", "view_id")]
    tables = []
    teachers = np.full((1 + folds, train.sku_of_view.max(initial=-1) + 1), -1)
    for fold in (ALL, *range(folds)):
        scores = view_scores(pairs, len(train.views), fold_of_query != fold)
        if choose == BEST:
            chosen, weight = best_views(scores, train.sku_of_view), np.maximum(scores.margin, 0)
        else:
            random = draw(f"{seed}/teacher/{fold}", *ids)
            chosen, weight = random_views(scores, train.sku_of_view, random), np.ones(len(train.views))
        tables.append(fold_table(train.views, scores, chosen, np.where(chosen, weight, 0.0), fold))
        teachers[1 + fold, train.sku_of_view[chosen]] = np.flatnonzero(chosen)
    return pa.concat_tables(tables), teachers


def fold_table(views: VectorTable, scores: "ViewScores", chosen: np.ndarray, weight: np.ndarray, fold: int) -> pa.Table:
    """Return a fold's rows of teachers.parquet, one per view."""
    means = {
        "rank": scores.rank, "reciprocal_rank": scores.reciprocal_rank, "recall@1": scores.recall_at_1,
        "recall@5": scores.recall_at_5, "recall@10": scores.recall_at_10, "margin": scores.margin,
    }  # fmt: skip
    columns: dict[str, Any] = {name: views.rows[name] for name in ("split", "sku_id", "view_id", "row")}
    columns |= {"fold": np.full(len(views), fold), "queries": scores.queries}
    columns |= {name: pa.array(values, from_pandas=True) for name, values in means.items()}  # NaN becomes null
    return pa.table(columns | {"is_teacher": chosen, "weight": weight, "fallback": scores.queries == 0})


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the report and where the table lies."""
    print_report(read_json(folder / "report.json"), console)
    console.print(f"teachers: {folder / 'teachers.parquet'}", soft_wrap=True)
