"""The actions stage's tables: wide arrays against rows read one by one, utilities by hand, rows that stay aligned."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skufp.artifacts.actions import CLIP, QUERY_SCHEMA, SCHEMA, ActionLabels, ActionNames, answers_table

ACTIONS = ["identity", "crop", "adapt"]
RANKS = np.array([[10, 1, 10], [1, 1, 2], [3, 300, 1], [1, 50, 1], [4, 2, 8]])


def labels() -> ActionLabels:
    """Two train queries, then a dev query and its twin, then one of validation."""
    where = [("train", 0, False), ("train", 1, False), ("dev", -1, False), ("dev", -1, True), ("validation", -1, False)]
    rows = [
        {"number": i, "split": split, "sku_id": f"s{i}", "pair_id": i, "view_id": f"v{i}", "image_path": f"{i}.jpg",
         "fold": fold, "twin": twin}
        for i, (split, fold, twin) in enumerate(where)
    ]  # fmt: skip
    vectors, quality = np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(15, dtype=np.float32).reshape(5, 3)
    score = RANKS / 1000
    about = ActionNames(ACTIONS, {"crop": {"_target_": "x"}}, ["a", "b", "c"], "mark", None)
    return ActionLabels(
        pa.Table.from_pylist(rows, QUERY_SCHEMA), vectors, quality, answers_table(RANKS, score, -score, ACTIONS), about
    )


def test_utilities_by_hand() -> None:
    expected = [
        [0, CLIP, 0], [0, 0, -math.log(2)], [0, -CLIP, math.log(3)], [0, -CLIP, 0], [0, math.log(2), -math.log(2)],
    ]  # fmt: skip
    np.testing.assert_allclose(labels().utilities(), expected)
    assert math.log(10) == CLIP


def test_files_are_read_back_and_say_the_same_row_by_row(tmp_path: Path) -> None:
    labels().save(tmp_path)
    found = ActionLabels.load(tmp_path)
    assert found.about == labels().about
    np.testing.assert_array_equal(found.ranks(), RANKS)
    np.testing.assert_array_equal(found.vectors, labels().vectors)
    np.testing.assert_array_equal(found.quality, labels().quality)
    assert found.queries.equals(labels().queries)
    rows = pq.read_table(tmp_path / "actions.parquet")
    assert rows.schema.equals(SCHEMA)
    for i, row in enumerate(rows.to_pylist()):
        rank = int(RANKS[i // 3, i % 3])
        assert row == {
            "number": i // 3, "action": ACTIONS[i % 3], "rank": rank, "reciprocal_rank": 1 / rank,
            "score": rank / 1000, "margin": -rank / 1000,
        }  # fmt: skip
    assert json.loads((tmp_path / "actions.json").read_text())["ridge"] is None


def test_where_keeps_everything_aligned() -> None:
    for split, twin, numbers in (
        ("train", None, [0, 1]), ("dev", None, [2, 3]), ("dev", True, [3]), ("dev", False, [2]), (None, True, [3]),
        (None, False, [0, 1, 2, 4]), ("test", None, []), (None, None, [0, 1, 2, 3, 4]),
    ):  # fmt: skip
        part = labels().where(split, twin)
        assert part.column("number").tolist() == numbers
        assert len(part) == len(numbers)
        np.testing.assert_array_equal(part.ranks(), RANKS[numbers])
        np.testing.assert_array_equal(part.vectors, labels().vectors[numbers])
        np.testing.assert_array_equal(part.quality, labels().quality[numbers])
        np.testing.assert_array_equal(part.utilities(), labels().utilities()[numbers])


def test_rows_are_taken_in_the_order_asked_for() -> None:
    part = labels().take(np.array([4, 0]))
    np.testing.assert_array_equal(part.ranks(), RANKS[[4, 0]])
    assert part.queries["view_id"].to_pylist() == ["v4", "v0"]


def test_tables_of_other_lengths_are_refused() -> None:
    one = labels()
    with pytest.raises(ValueError, match="5 queries, 4 vectors"):
        ActionLabels(one.queries, one.vectors[:4], one.quality, one.answers, one.about)
    with pytest.raises(ValueError, match="14 answers to 5 queries under 3 actions"):
        ActionLabels(one.queries, one.vectors, one.quality, one.answers.slice(1), one.about)
