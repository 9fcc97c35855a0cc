"""stage=teacher: which rows enter, folds, choice, tables, report."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from skufp.artifacts.teachers import read_query_folds, read_teachers
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.reports.teachers import Choice, summary
from skufp.retrieval.teacher import PairScores
from skufp.stages import teacher

CONF = Path(__file__).resolve().parents[2] / "conf" / "stages" / "teacher.yaml"
Rows = list[dict[str, Any]]


def _config(**changes: Any) -> DictConfig:
    values = {"fingerprint_seed": 0, "threads": 1, "workers": 0, "trainer": {"accelerator": "cpu"},
              "data": {"name": "d"}, "model": {"name": "m"}, "stages": {"teacher": OmegaConf.load(CONF)}}  # fmt: skip
    cfg = OmegaConf.create(values)
    for name, value in changes.items():
        OmegaConf.update(cfg, f"stages.teacher.{name}", value)
    return cfg


def _row(sku: int, photo: str, domain: str, split: str = "train", pool: str = "", vector: Any = None) -> dict[str, Any]:
    return {"split": split, "sku_id": f"s{sku}", "view_id": f"{sku}-{photo}", "domain": domain, "pool": pool,
            "viewpoint": len(photo) % 3 + 1, "generated": False, "vector": vector}  # fmt: skip


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Twelve train SKUs of 1 to 4 views and 0 to 5 held-out queries near them, in no order; SKUs 0 and 6 have none."""
    rng = np.random.default_rng(0)
    result = []
    for sku in range(12):
        centre = rng.normal(size=8)
        for i in range(1 + sku % 4):
            result.append(_row(sku, "view" + "x" * i, "catalog", vector=_unit(centre + rng.normal(size=8))))
        for i in range(sku % 6):
            result.append(_row(sku, f"q{i}", "query", pool="held_out", vector=_unit(centre + rng.normal(size=8))))
    return [result[i] for i in rng.permutation(len(result))]


def _embed(folder: Path, rows: Rows) -> Path:
    vectors = np.array([row["vector"] for row in rows], np.float32)
    table = pa.table({name: [row[name] for row in rows] for name in _row(0, "", "") if name != "vector"})
    VectorTable(vectors, table).save(folder)
    return folder


def _run(folder: Path, rows: Rows, **changes: Any) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Run the stage; return teachers, query folds and the report."""
    folder.mkdir()
    teacher.run(_config(**changes), {"embed": _embed(folder / "embed", rows)}, folder)
    return read_teachers(folder), read_query_folds(folder), json.loads((folder / "report.json").read_text())


def _planted(rows: Rows) -> Rows:
    """Add, in between, rows of other splits and learn queries, with vectors that are vast or no numbers."""
    planted = [_row(sku, f"planted-{split}-{domain}", domain, split, pool, np.full(8, 1e6 if sku % 2 else np.nan))
               for sku in range(14)
               for split, domain, pool in (
                   ("dev", "catalog", ""), ("dev", "query", ""), ("dev", "query", "held_out"),
                   ("validation", "catalog", ""), ("validation", "query", ""), ("validation", "query", "held_out"),
                   ("test", "catalog", ""), ("test", "query", "held_out"), ("train", "query", "learn"))]  # fmt: skip
    both = [*rows, *planted]
    order = np.argsort(np.random.default_rng(1).random(len(both)))
    kept = iter(rows)
    return [next(kept) if i < len(rows) else both[i] for i in order]  # the rows keep their own order


def test_no_dev_validation_or_test_id_and_no_learn_query_enters(tmp_path: Path, rows: Rows) -> None:
    teachers, queries, report = _run(tmp_path / "clean", rows)
    planted = _run(tmp_path / "planted", _planted(rows))
    for table, with_planted in ((teachers, planted[0]), (queries, planted[1])):
        assert with_planted.drop_columns("row").equals(table.drop_columns("row"))
        assert set(with_planted["split"].to_pylist()) == {"train"}
        assert not any("planted" in view for view in with_planted["view_id"].to_pylist())
    assert planted[2] == report


@pytest.mark.parametrize(("domain", "pool"), [("catalog", ""), ("query", "held_out")])
def test_one_such_vector_would_change_the_result_if_it_entered(
    tmp_path: Path, rows: Rows, domain: str, pool: str
) -> None:
    teachers, _, _ = _run(tmp_path / "clean", rows)
    changed, _, _ = _run(tmp_path / "changed", [*rows, _row(5, "one", domain, "train", pool, np.full(8, 1e6))])
    changed = changed.filter([view != "5-one" for view in changed["view_id"].to_pylist()])
    assert changed["view_id"].equals(teachers["view_id"])
    assert not changed["margin"].equals(teachers["margin"])


def test_row_is_the_row_number_in_the_embed_table(tmp_path: Path, rows: Rows) -> None:
    embedded = _planted(rows)
    teachers, queries, _ = _run(tmp_path / "run", embedded)
    for table, domain in ((teachers, "catalog"), (queries, "query")):
        for row, view, sku in zip(*(table[c].to_pylist() for c in ("row", "view_id", "sku_id")), strict=True):
            found = embedded[row]
            assert (found["view_id"], found["sku_id"], found["domain"]) == (view, sku, domain)
    used = {i for i, row in enumerate(embedded) if row["split"] == "train" and row["pool"] == "held_out"}
    assert sorted(queries["row"].to_pylist()) == sorted(used)


def test_every_view_has_a_row_in_every_fold(tmp_path: Path, rows: Rows) -> None:
    teachers, _, _ = _run(tmp_path / "run", rows, folds=3)
    views = sorted(row["view_id"] for row in rows if row["domain"] == "catalog")
    for fold in (-1, 0, 1, 2):
        own = [row["view_id"] for row in teachers.to_pylist() if row["fold"] == fold]
        assert sorted(own) == views
    assert teachers.num_rows == 4 * len(views)


def test_a_fold_leaves_out_its_own_queries_and_no_other(tmp_path: Path, rows: Rows) -> None:
    teachers, queries, _ = _run(tmp_path / "run", rows, folds=3)
    asked = [(row["sku_id"], row["fold"]) for row in queries.to_pylist()]
    for row in teachers.to_pylist():
        expected = [fold for sku, fold in asked if sku == row["sku_id"] and fold != row["fold"]]
        assert row["queries"] == len(expected)
        assert row["fallback"] == (not expected)


def test_a_fold_s_rows_do_not_depend_on_its_queries(tmp_path: Path, rows: Rows) -> None:
    teachers, queries, _ = _run(tmp_path / "run", rows)
    left_out = {row["view_id"] for row in queries.to_pylist() if row["fold"] == 1}
    moved = [row | {"vector": -row["vector"]} if row["view_id"] in left_out else row for row in rows]
    changed, same, _ = _run(tmp_path / "moved", moved)
    assert same.equals(queries)
    kept = [fold == 1 for fold in teachers["fold"].to_pylist()]
    assert changed.filter(kept).equals(teachers.filter(kept))
    assert not changed.equals(teachers)


@pytest.mark.parametrize("choose", ["best", "random"])
def test_each_taught_sku_has_one_teacher_a_fold_and_the_others_fall_back(
    tmp_path: Path, rows: Rows, choose: str
) -> None:
    teachers, _, report = _run(tmp_path / "run", rows, choose=choose)
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in teachers.to_pylist():
        found.setdefault((row["fold"], row["sku_id"]), []).append(row)
    for own in found.values():
        assert len({row["fallback"] for row in own}) == 1
        chosen = [row for row in own if row["is_teacher"]]
        assert len(chosen) == (0 if own[0]["fallback"] else 1)
        assert all(row["weight"] == 0 for row in own if not row["is_teacher"])
        assert all(row["weight"] == (1.0 if choose == "random" else max(row["margin"], 0.0)) for row in chosen)
        if own[0]["fallback"]:
            assert all(row["rank"] is None and row["margin"] is None and row["queries"] == 0 for row in own)
    assert {sku for fold, sku in found if fold == -1 and found[fold, sku][0]["fallback"]} == {"s0", "s6"}
    assert (report["skus"], report["skus_with_teacher"], report["skus_falling_back_to_mean"]) == (12, 10, 2)


def test_the_best_view_has_the_highest_reciprocal_rank_then_margin(tmp_path: Path, rows: Rows) -> None:
    teachers, _, _ = _run(tmp_path / "run", rows)
    margins = set()
    for row in teachers.filter(teachers["is_teacher"]).to_pylist():
        same = [r for r in teachers.to_pylist() if (r["fold"], r["sku_id"]) == (row["fold"], row["sku_id"])]
        assert (row["reciprocal_rank"], row["margin"]) == max((r["reciprocal_rank"], r["margin"]) for r in same)
        margins.add(row["margin"] > 0)
    assert margins == {True, False}  # so that weights of 0 and above are both here


def _chosen(teachers: pa.Table) -> set[tuple[int, str]]:
    own = teachers.filter(teachers["is_teacher"])
    return set(zip(own["fold"].to_pylist(), own["view_id"].to_pylist(), strict=True))


def test_random_teachers_know_nothing_of_ranks_or_row_order_but_of_the_seed(tmp_path: Path, rows: Rows) -> None:
    teachers = _run(tmp_path / "run", rows, choose="random")[0]
    blind = [row | {"vector": np.ones(8)} if row["domain"] == "query" else row for row in rows[::-1]]
    assert _chosen(_run(tmp_path / "blind", blind, choose="random")[0]) == _chosen(teachers)
    assert _chosen(_run(tmp_path / "seed", rows, choose="random", seed=1)[0]) != _chosen(teachers)
    by_sku: dict[str, set[str]] = {}
    for _, view in _chosen(teachers):
        by_sku.setdefault(view.split("-")[0], set()).add(view)
    assert max(map(len, by_sku.values())) > 1  # every fold draws anew


def _folds(rows: Rows, folds: int, seed: int) -> dict[str, int]:
    table = pa.table({name: [row[name] for row in rows] for name in ("sku_id", "view_id")})
    dealt = teacher.deal_folds(VectorTable(np.zeros((len(rows), 1)), table), folds, seed)
    return dict(zip((row["view_id"] for row in rows), dealt.tolist(), strict=True))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_even_in_each_sku_and_overall(rows: Rows, folds: int) -> None:
    queries = [row for row in rows if row["domain"] == "query"]
    dealt = _folds(queries, folds, seed=0)
    for skus in [{f"s{i}"} for i in range(12)] + [{f"s{i}" for i in range(12)}]:
        counts = np.bincount([dealt[row["view_id"]] for row in queries if row["sku_id"] in skus], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_folds_depend_on_the_seed_and_not_on_row_order(rows: Rows) -> None:
    queries = [row for row in rows if row["domain"] == "query"]
    assert _folds(queries, 2, seed=3) == _folds(queries[::-1], 2, seed=3)
    assert len({tuple(_folds(queries, 2, seed).values()) for seed in range(5)}) == 5


def test_the_seed_comes_from_fingerprint_seed() -> None:
    cfg = _config()
    cfg.fingerprint_seed = 7
    assert cfg.stages.teacher.seed == 7
    assert list(cfg.stages.teacher.uses) == []


def test_settings_that_make_no_sense_are_refused_before_anything_runs() -> None:
    teacher.check(_config())
    teacher.check(_config(choose="random", folds=5))
    with pytest.raises(UserError, match=r"choose=randon.*Did you mean 'random'\?"):
        teacher.check(_config(choose="randon"))
    for folds in (1, 0, -2, 2.5, "two", None):
        with pytest.raises(UserError, match=r"stages\.teacher\.folds=2"):
            teacher.check(_config(folds=folds))


def test_a_held_out_query_without_a_catalogue_view_is_no_silent_loss(tmp_path: Path, rows: Rows) -> None:
    with pytest.raises(RuntimeError, match="1 held-out train queries are of SKUs without a catalogue view"):
        _run(tmp_path / "run", [*rows, _row(50, "q0", "query", "train", "held_out", np.ones(8))])


def _choice() -> Choice:
    """SKU 0: views 0 and 1, queries 0 (fold 0) and 1 (fold 1). SKU 1: view 2, query 2. SKU 2: views 3, 4, 5, no query.

    All queries and fold 0 (so query 1) choose view 1, fold 1 (so query 0) chooses view 0.
    """
    pairs = PairScores(
        query=np.array([0, 0, 1, 1, 2]), view=np.array([0, 1, 0, 1, 2]), rank=np.array([1, 2, 5, 1, 4]),
        margin=np.zeros(5), rank_of_mean=np.array([2, 2, 4]),
    )  # fmt: skip
    teachers = np.array([[1, 2, -1], [1, -1, -1], [0, 2, -1]])
    return Choice(
        pairs,
        np.array([0, 0, 1, 2, 2, 2]),
        np.array([2, 3, 2, 1, 1, 1]),
        np.array([0, 0, 1]),
        np.array([0, 1, 0]),
        teachers,
        np.zeros(6, bool),
    )


def test_the_report_by_hand() -> None:
    report = summary(_choice(), seed=0)
    assert (report["skus"], report["skus_with_teacher"], report["skus_falling_back_to_mean"]) == (3, 2, 1)
    assert (report["queries"], report["queries_without_cross_fitted_teacher"]) == (3, 1)
    assert report["teacher_is_not_first_view"] == 1  # SKU 0 alone has a teacher and a choice
    # Query 0 is scored with fold 0's teacher, view 1; query 1 with fold 1's, view 0; query 2 with the mean.
    cross, inside = (1 / 2 + 1 / 5 + 1 / 4) / 3, (1 / 2 + 1 + 1 / 4) / 3
    first, mean = (1 + 1 / 5 + 1 / 4) / 3, (1 / 2 + 1 / 2 + 1 / 4) / 3
    values = report["reciprocal_rank"]
    assert values == pytest.approx({"cross_fitted": cross, "in_sample": inside, "first_view": first, "mean": mean})
    for way, value in (("cross_fitted", cross), ("in_sample", inside)):
        assert report[way]["gain_over_mean"] == pytest.approx(value - mean)
        assert report[way]["gain_over_first_view"] == pytest.approx(value - first)
    intervals, taught = report["cross_fitted"]["intervals"], report["cross_fitted"]["where_taught"]
    assert intervals["gain_over_mean"]["mean"] == pytest.approx(cross - mean)
    assert taught["gain_over_mean"]["mean"] == pytest.approx((0 + 1 / 5 - 1 / 2) / 2)
    assert "intervals" not in report["in_sample"]


def test_the_report_by_number_of_views_and_viewpoint() -> None:
    report = summary(_choice(), seed=0)
    parts = report["by_views"]
    assert {name: (part["skus"], part["skus_with_teacher"], part["queries"]) for name, part in parts.items()} == {
        "1": (1, 1, 1),
        "2-3": (2, 1, 2),
    }
    assert parts["1"]["teacher_is_not_first_view"] is None  # nothing to choose from
    assert parts["1"]["in_sample"]["gain_over_mean"] == 0
    assert parts["2-3"]["cross_fitted"]["gain_over_mean"] == pytest.approx((0 + 1 / 5 - 1 / 2) / 2)
    # Of SKU 0, the only one with a teacher and a choice: viewpoints 2 and 3, and 3 is chosen.
    assert report["by_viewpoint"] == {
        "2": {"views": 1, "chosen": 0.0, "by_chance": 0.5},
        "3": {"views": 1, "chosen": 1.0, "by_chance": 0.5},
    }


def _shown(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=80)
    teacher.show(_config(), folder, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_printed_says_who_falls_back_and_fits_80_columns(
    tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, report = _run(tmp_path / "run", rows)
    said = "10 of 12 train SKUs have a teacher; 2 have no held-out query"
    assert said in capsys.readouterr().err
    shown = _shown(tmp_path / "run").splitlines()
    assert shown[0].startswith(said)
    assert all("…" not in line for line in shown)
    whole = next(line.split() for line in shown if line.split()[:1] == ["all"])
    assert whole[1:3] == ["12", "10"]
    gains = [report[way][f"gain_over_{b}"] for way in ("cross_fitted", "in_sample") for b in ("first_view", "mean")]
    assert whole[-4:] == [f"{gain:+.3f}" for gain in gains]


def test_without_any_held_out_query_all_fall_back(tmp_path: Path, rows: Rows) -> None:
    teachers, queries, report = _run(tmp_path / "run", [row for row in rows if row["domain"] == "catalog"])
    assert queries.num_rows == 0
    assert all(teachers["fallback"].to_pylist())
    assert not any(teachers["is_teacher"].to_pylist())
    assert set(teachers["weight"].to_pylist()) == {0.0}
    assert report["cross_fitted"]["gain_over_mean"] is None
    assert "0 of 12 train SKUs have a teacher; 12 have no held-out query" in _shown(tmp_path / "run")


def test_without_a_train_split_the_tables_are_empty(tmp_path: Path) -> None:
    teachers, queries, report = _run(tmp_path / "run", [_row(0, "view", "catalog", "validation", vector=np.ones(8))])
    assert (teachers.num_rows, queries.num_rows, report["skus"]) == (0, 0, 0)
    assert "0 of 0 train SKUs" in _shown(tmp_path / "run")


def test_generated_views_may_teach_but_do_not_count(tmp_path: Path, rows: Rows) -> None:
    """A SKU of one view gets four more where its queries are: the best of them teaches, and it stays a SKU of one."""
    _, _, before = _run(tmp_path / "real", rows)
    queries = [row["vector"] for row in rows if row["domain"] == "query" and row["sku_id"] == "s4"]
    made = [_row(4, f"made{i}", "catalog", vector=_unit(np.mean(queries, axis=0))) for i in range(4)]
    teachers, _, report = _run(tmp_path / "made", [*rows, *(row | {"generated": True} for row in made)])
    assert any("made" in view for _, view in _chosen(teachers))
    assert {name: part["skus"] for name, part in report["by_views"].items()} == {"1": 3, "2-3": 6, "4-5": 3}
    assert {name: part["queries"] for name, part in report["by_views"].items()} == {
        name: part["queries"] for name, part in before["by_views"].items()
    }
    # Where there is more than one view to choose from, a choice is a choice, though only one view is real.
    assert before["by_views"]["1"]["teacher_is_not_first_view"] is None
    assert report["by_views"]["1"]["teacher_is_not_first_view"] == 1
