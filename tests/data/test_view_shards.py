"""View shards: round trips, true counts, whole parts or none."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skufp.artifacts.views import ViewRow
from skufp.data.shards import INDEX, sample_count, shard_files
from skufp.data.view_shards import read_view_shards, shard_name, write_view_index, write_view_shard


def make_row(number: int, part: int = 0, sku: str = "s1", **changes: Any) -> ViewRow:
    values = {
        "split": "train", "sku_id": sku, "pair_id": 1, "style": 1, "category_id": 1, "category_name": "skirt",
        "view_id": f"gen-000001_item1-back-{number}", "kind": "view", "source_view": "000001_item1", "action": "back",
        "round": 0, "seed": number, "noise": 0.5, "toward_sku": "", "viewpoint": 3, "zoom_in": 1, "occlusion": 1,
        "own_similarity": 0.9, "source_similarity": 0.8, "structure_similarity": 0.7, "other_similarity": 0.5,
        "other_sku": "s2", "margin": 0.4, "category_found": 1, "colour_distance": 0.1, "kept": True, "reason": "",
        "text": "ein Rock, grün", "part": part,
    }  # fmt: skip
    return ViewRow(**values | changes)


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)


def items(numbers: list[int], part: int = 0) -> list[tuple[ViewRow, np.ndarray]]:
    return [(make_row(n, part), picture(n)) for n in numbers]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_and_pictures_come_back_exactly(tmp_path: Path) -> None:
    put = items([0, 1, 2])
    write_view_shard(tmp_path, "train-generated", 0, put)
    write_view_index(tmp_path)
    got = list(read_view_shards(shard_files(tmp_path, "train-generated")))
    assert [row for row, _ in got] == [row for row, _ in put]
    for (_, a), (_, b) in zip(got, put, strict=True):
        assert a.dtype == np.uint8
        assert np.array_equal(a, b)


def test_the_index_counts_what_the_tars_hold(tmp_path: Path) -> None:
    write_view_shard(tmp_path, "train-generated", 2, items([5], 2))
    write_view_shard(tmp_path, "train-generated", 0, items([0, 1, 2]))
    write_view_shard(tmp_path, "train-generated", 1, [])
    write_view_shard(tmp_path, "dev-rejected", 0, items([3, 4]))
    index = write_view_index(tmp_path)
    assert index == json.loads((tmp_path / INDEX).read_text()) == {
        "dev-rejected": {
            "samples": 2, "shards": [{"file": "dev-rejected-000000.tar", "number": 0, "samples": 2}],
        },
        "train-generated": {
            "samples": 4,
            "shards": [
                {"file": "train-generated-000000.tar", "number": 0, "samples": 3},
                {"file": "train-generated-000002.tar", "number": 2, "samples": 1},
            ],
        },
    }  # fmt: skip
    assert sample_count(tmp_path, "train-generated") == 4
    assert [f.name for f in shard_files(tmp_path, "dev-rejected")] == ["dev-rejected-000000.tar"]
    assert shard_files(tmp_path, "train-control") == []


def test_nothing_made_is_an_empty_index(tmp_path: Path) -> None:
    assert write_view_index(tmp_path / "shards") == {}
    assert sample_count(tmp_path / "shards", "train-generated") == 0
    assert list(read_view_shards([])) == []


def test_the_order_given_does_not_matter(tmp_path: Path) -> None:
    rows = [make_row(0, sku="b", pair_id=1), make_row(1, sku="a", pair_id=2), make_row(2, sku="a", pair_id=2)]
    put = [(row, picture(row.seed)) for row in rows]
    write_view_shard(tmp_path / "one", "train-generated", 0, put)
    write_view_shard(tmp_path / "two", "train-generated", 0, put[::-1])
    one, two = tmp_path / "one/train-generated-000000.tar", tmp_path / "two/train-generated-000000.tar"
    assert digest(one) == digest(two)
    assert [row.seed for row, _ in read_view_shards([one])] == [0, 1, 2]


def test_a_part_written_again_replaces_the_first_attempt(tmp_path: Path) -> None:
    write_view_shard(tmp_path, "train-generated", 0, items([0, 1]))
    write_view_shard(tmp_path, "train-rejected", 0, items([2]))
    write_view_shard(tmp_path, "train-generated", 0, items([3]))
    write_view_shard(tmp_path, "train-rejected", 0, [])
    assert set(write_view_index(tmp_path)) == {"train-generated"}
    assert [row.seed for row, _ in read_view_shards(shard_files(tmp_path, "train-generated"))] == [3]


def test_a_failure_leaves_the_finished_tar_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    write_view_shard(tmp_path, "train-generated", 0, items([0]))
    before = digest(tmp_path / "train-generated-000000.tar")
    with pytest.raises(TypeError):
        write_view_shard(tmp_path, "train-generated", 0, [*items([1]), (make_row(2), picture(2).astype(float))])
    assert digest(tmp_path / "train-generated-000000.tar") == before
    assert write_view_index(tmp_path)["train-generated"]["samples"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [INDEX, "train-generated-000000.tar"]


def test_long_names_and_names_with_dots_come_back(tmp_path: Path) -> None:
    row = make_row(0, sku="a very long SKU. " * 12, view_id="gen-" + "photo.v2 " * 20)
    write_view_shard(tmp_path, "train-generated", 0, [(row, picture(0))])
    write_view_index(tmp_path)
    assert sample_count(tmp_path, "train-generated") == 1
    assert [got for got, _ in read_view_shards(shard_files(tmp_path, "train-generated"))] == [row]


def test_a_row_of_another_part_or_a_second_one_of_a_view_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="says part 1"):
        write_view_shard(tmp_path, "train-generated", 0, items([0], part=1))
    with pytest.raises(ValueError, match="two pictures of SKU s1"):
        write_view_shard(tmp_path, "train-generated", 0, items([4, 4]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "kept", "name"),
    [
        ("view", True, "train-generated"),
        ("view", False, "train-rejected"),
        ("control", True, "train-control"),
        ("counterfactual", True, "train-counterfactual"),
        ("counterfactual", False, "train-rejected"),
    ],
)
def test_where_a_picture_belongs(kind: str, kept: bool, name: str) -> None:
    assert shard_name(make_row(0, kind=kind, kept=kept)) == name
