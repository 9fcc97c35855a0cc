"""stage=evaluate with generated views among the real ones: they help to rank, and never count as real."""

import io
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from skufp.artifacts.vectors import VectorTable
from skufp.reports.evaluation.table import gain_lines
from skufp.retrieval.evaluation.methods import LABELS, ONLY_REAL
from skufp.retrieval.representations import mean_of_views
from skufp.stages import evaluate

ADDED = {"a_1": 3, "b_1": 1, "c_2": 2, "d_1": 1}  # SKUs with 1, 2, 4 and 2 real views; nobody asks for d_1
STRATUM = {"a_1": "1", "a_2": "2-3", "b_1": "2-3", "c_1": "4+", "c_2": "4+", "e_1": "4+"}


@pytest.fixture(scope="module")
def table(world: SimpleNamespace) -> VectorTable:
    """The tiny chain's views and queries with generated views after them, which lie where the SKU's queries are."""
    real = VectorTable.load(world.inputs["embed"])
    rows, vectors = real.rows.to_pylist(), np.asarray(real.vectors)
    made_rows, made = [], []
    for sku, count in ADDED.items():
        own = [i for i, r in enumerate(rows) if r["sku_id"] == sku]
        asked = [i for i in own if rows[i]["domain"] == "query"] or own
        for i in range(count):
            made_rows.append(
                rows[own[0]] | {"view_id": f"gen-{sku}-{i}", "generated": True, "image_path": "nowhere.jpg"}
            )
            made.append(vectors[asked].mean(axis=0) / np.linalg.norm(vectors[asked].mean(axis=0)))
    added = pa.Table.from_pylist(made_rows, schema=real.rows.schema)
    return VectorTable(np.concatenate([vectors, np.array(made, np.float32)]), pa.concat_tables([real.rows, added]))


@pytest.fixture(scope="module")
def folder(world: SimpleNamespace, table: VectorTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage=evaluate writes; the generated views' pictures are nowhere, so none can be shown."""
    root = tmp_path_factory.mktemp("generated")
    table.save(root / "embed")
    words = VectorTable.load(world.inputs["embed"] / "text")
    words.save(root / "embed" / "text")
    (root / "evaluate").mkdir()
    evaluate.run(world.cfg, world.inputs | {"embed": root / "embed"}, root / "evaluate")
    return root / "evaluate"


@pytest.fixture(scope="module")
def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def test_only_real_views_are_counted(metrics: dict[str, Any], evaluated: Path, folder: Path) -> None:
    before = json.loads((evaluated / "metrics.json").read_text())
    assert metrics["gallery"] == before["gallery"] | {"generated": 7}
    for name, rows in before["strata"].items():
        assert {n: row["queries"] for n, row in metrics["strata"][name].items()} == {
            n: row["queries"] for n, row in rows.items()
        }
    for file in ("ranks.parquet", "ranks_text.parquet"):
        own, old = (pq.read_table(path / file) for path in (folder, evaluated))
        assert own["views"].equals(old["views"])
    assert metrics["item_level"] == before["item_level"]


def test_methods_of_real_views_alone_stand_below_and_are_as_without_generated_ones(
    metrics: dict[str, Any], evaluated: Path
) -> None:
    before = json.loads((evaluated / "metrics.json").read_text())
    for kind in ("image", "text"):
        assert list(metrics[kind]) == [*LABELS, *ONLY_REAL]
        assert list(before[kind]) == list(LABELS)
        for own, old in (("mean_real", "mean"), ("multi_vector_real", "multi_vector"), ("first_view", "first_view")):
            for figure in ("mrr", "recall@1", "vectors_per_sku"):
                assert metrics[kind][own][figure] == pytest.approx(before[kind][old][figure])
    assert metrics["image"]["multi_vector"]["vectors_per_sku"] == 33 / 8


def test_the_mean_is_that_of_all_views(metrics: dict[str, Any], table: VectorTable) -> None:
    views, queries = table.where(domain="catalog"), table.where(domain="query")
    names = sorted(set(views.rows["sku_id"].to_pylist()))
    means = mean_of_views(
        np.asarray(views.vectors), np.array([names.index(s) for s in views.rows["sku_id"].to_pylist()]), 8
    )
    own = np.array([names.index(s) for s in queries.rows["sku_id"].to_pylist()])
    best = (np.asarray(queries.vectors) @ means.T).argmax(axis=1)
    assert metrics["image"]["mean"]["recall@1"] == pytest.approx((best == own).mean())
    assert metrics["image"]["mean"]["mrr"] > metrics["image"]["mean_real"]["mrr"]


def test_what_they_change_by_number_of_real_views(metrics: dict[str, Any], folder: Path) -> None:
    ranks, gain = pq.read_table(folder / "ranks.parquet").to_pylist(), metrics["gain_of_generated"]
    assert list(gain) == ["1", "2-3", "4+", "all"]
    queries = Counter(STRATUM[row["sku_id"]] for row in ranks)
    for name, row in gain.items():
        own = [r for r in ranks if name in ("all", STRATUM[r["sku_id"]])]
        assert row["queries"] == len(own) == (15 if name == "all" else queries[name])
        skus = {r["sku_id"] for r in own}
        assert row["generated_views"] == pytest.approx(sum(ADDED.get(s, 0) for s in skus) / len(skus))
        for metric, of in (("mrr", lambda rank: 1 / rank), ("recall@1", lambda rank: rank == 1)):
            change = np.mean([of(r["rank_mean"]) - float(of(r["rank_mean_real"])) for r in own])
            assert row[metric]["mean"] == pytest.approx(change)
            assert row[metric]["low"] - 1e-9 <= change <= row[metric]["high"] + 1e-9


def test_the_report_and_the_console_say_whether_they_help(
    metrics: dict[str, Any], folder: Path, world: SimpleNamespace, evaluated: Path
) -> None:
    lines = gain_lines(metrics["gain_of_generated"])
    page = (folder / "report.html").read_text()
    assert all(line in page for line in lines)
    assert "26 photos and 7 generated views" in page
    console = Console(width=200, file=io.StringIO())
    evaluate.show(world.cfg, folder, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(line in shown for line in lines)
    assert all(label in shown for label in ONLY_REAL.values())
    assert "What generated views change" not in (evaluated / "report.html").read_text()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "raise it"), (-0.2, -0.01, "lower it"), (0.0, 0.1, "are not shown to change it"),
     (-0.1, 0.1, "are not shown to change it")],
)  # fmt: skip
def test_a_gain_is_claimed_only_where_its_interval_lies_above_0(low: float, high: float, verdict: str) -> None:
    change = {"mean": (low + high) / 2, "low": low, "high": high}
    (line,) = gain_lines({"1": {"queries": 3, "generated_views": 2.0, "recall@1": change}})
    assert line.startswith("SKUs with 1 real view (3 queries, 2.0 generated views each)")
    assert line.endswith(f"generated views {verdict}")
    assert gain_lines({}) == []
