"""Which view teaches: of a SKU, of one query, and what is read from the teacher stage's folder."""

from pathlib import Path
from typing import Any

import pytest

from skufp.artifacts.teachers import write_query_folds, write_teachers
from skufp.data.sku_teachers import NO_TEACHER, Teachers


def _view(sku: str, view: str, fold: int, **changes: Any) -> dict[str, Any]:
    return {
        "split": "train", "sku_id": sku, "view_id": view, "row": 0, "fold": fold, "queries": 2, "rank": 1.0,
        "reciprocal_rank": 1.0, "recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "margin": 0.25,
        "is_teacher": True, "weight": 0.25, "fallback": False,
    } | changes  # fmt: skip


def _query(sku: str, query: str, fold: int, split: str = "train") -> dict[str, Any]:
    return {"split": split, "sku_id": sku, "view_id": query, "row": 0, "fold": fold}


@pytest.fixture
def teachers(tmp_path: Path) -> Teachers:
    """SKU a: view a0 by all queries, a1 without fold 0, a2 without fold 1. SKU b: queries, but never a teacher."""
    nothing = dict.fromkeys(("rank", "reciprocal_rank", "recall@1", "recall@5", "recall@10", "margin"))
    write_teachers(
        tmp_path,
        [
            _view("a", "a0", -1, weight=0.5),
            _view("a", "a1", -1, is_teacher=False, weight=0.0),
            _view("a", "a1", 0, weight=0.125),
            _view("a", "a2", 1, margin=-0.5, weight=0.0),
            _view("a", "z0", -1, split="dev", weight=9.0),
            _view("b", "b0", -1, is_teacher=False, weight=0.0, fallback=True, queries=0, **nothing),
            _view("c", "c0", -1, fallback=True),
        ],
    )
    write_query_folds(
        tmp_path, [_query("a", "q0", 0), _query("a", "q1", 1), _query("b", "q0", 1), _query("a", "q2", 0, "dev")]
    )
    return Teachers.load(tmp_path)


def test_a_sku_is_taught_by_the_view_of_all_its_queries(teachers: Teachers) -> None:
    assert teachers.of_sku("a") == ("a0", 0.5)


def test_a_query_is_taught_by_the_view_that_was_chosen_without_its_fold(teachers: Teachers) -> None:
    assert teachers.of_query("a", "q0") == ("a1", 0.125)
    assert teachers.of_query("a", "q1") == ("a2", 0.0)


def test_queries_of_two_skus_may_share_a_name() -> None:
    teachers = Teachers({("a", 0): ("a0", 0.5), ("b", 1): ("b3", 0.75)}, {("a", "q"): 0, ("b", "q"): 1})
    assert teachers.of_query("a", "q") == ("a0", 0.5)
    assert teachers.of_query("b", "q") == ("b3", 0.75)


def test_there_is_nobody_for_fallbacks_other_splits_and_unknown_names(teachers: Teachers) -> None:
    assert NO_TEACHER[1] == 0
    assert [teachers.of_sku(sku) for sku in ("b", "c", "nowhere")] == [NO_TEACHER] * 3
    asked = [("b", "q0"), ("a", "q2"), ("a", "learnt"), ("nowhere", "q0")]
    assert [teachers.of_query(*names) for names in asked] == [NO_TEACHER] * 4


def test_nothing_but_train_is_read(teachers: Teachers) -> None:
    assert set(teachers.by_sku) == {("a", -1), ("a", 0), ("a", 1)}
    assert teachers.fold_of_query == {("a", "q0"): 0, ("a", "q1"): 1, ("b", "q0"): 1}


def test_a_folder_without_rows_teaches_nothing(tmp_path: Path) -> None:
    write_teachers(tmp_path, [])
    write_query_folds(tmp_path, [])
    assert Teachers.load(tmp_path) == Teachers({}, {})
