"""The DeepFashion2 reader on a hand-made tree with every fault."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from skufp.artifacts.records import CropRecord
from skufp.data.accounts import MissingSplitError
from skufp.data.crops import plan_crops
from skufp.data.deepfashion2 import CATEGORIES, DeepFashion2
from skufp.errors import UserError


def _item(**changes: Any) -> dict[str, Any]:
    return {
        "style": 1, "bounding_box": [10, 12, 60, 70], "category_id": 1, "category_name": "short sleeve top",
        "occlusion": 3, "viewpoint": 3, "scale": 2, "zoom_in": 1, "landmarks": [1, 2, 3], "segmentation": [[1, 2]],
    } | changes  # fmt: skip


class Tree:
    """A folder in DeepFashion2 layout."""

    def __init__(self, root: Path) -> None:
        self.root, self.number = root, 0

    def add(self, split: str = "train", image: bool = True, text: str | None = None, **annotation: Any) -> str:
        self.number += 1
        name = f"{self.number:06d}"
        for kind in ("image", "annos"):
            (self.root / split / kind).mkdir(parents=True, exist_ok=True)
        if image:
            Image.new("RGB", (80, 80)).save(self.root / split / "image" / f"{name}.jpg")
        body = {"source": "user", "pair_id": 1} | annotation
        (self.root / split / "annos" / f"{name}.json").write_text(json.dumps(body) if text is None else text)
        return name


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def _read(tree: Tree, split: str = "train", **options: Any) -> tuple[list[CropRecord], dict[str, str]]:
    records, skipped = DeepFashion2(str(tree.root), **options).read(split)
    return records, {f"{s.file}#{s.item}": s.reason for s in skipped}


def test_the_example_row(tree: Tree) -> None:
    """Every field of the documented row, in its order and with its values; three more follow."""
    tree.add(item1=_item())
    records, skipped = _read(tree)
    plan_crops(records, tree.root)
    row = json.loads(json.dumps(records[0].to_dict()))
    example = {
        "split": "train", "sku_id": "000001_01_01", "pair_id": 1, "style": 1, "category_id": 1,
        "category_name": "short sleeve top", "domain": "query",
        "image_path": "train/query/000001_01_01/000001_item1.jpg", "orig_image_path": "train/image/000001.jpg",
        "image_id": "000001", "item_idx": 1, "bbox": [10, 12, 60, 70], "occlusion": 3, "viewpoint": 3,
        "text": "A user photo of a person wearing a heavily occluded short sleeve top from the side or back.",
    }  # fmt: skip
    assert list(row)[: len(example)] == list(example)
    assert row == example | {"rich_text": "", "scale": 2, "zoom_in": 1, "pool": "", "mask_path": ""}
    assert not skipped


def test_several_items_of_one_image(tree: Tree) -> None:
    tree.add(source="shop", pair_id=23, item1=_item(style=2), item2=_item(category_id=8, category_name="trousers"))
    records, _ = _read(tree)
    assert [(r.sku_id, r.item_idx, r.domain) for r in records] == [
        ("000023_02_01", 1, "catalog"), ("000023_01_08", 2, "catalog"),
    ]  # fmt: skip


def test_catalogue_items_keep_their_polygons_for_the_mask(tree: Tree) -> None:
    square = [[10, 12, 60, 12, 60, 70, 10, 70]]
    tree.add(source="shop", item1=_item(segmentation=square), item2=_item(segmentation=[]), item3=_item(style=2))
    tree.add(source="user", item1=_item(segmentation=square))
    item = _item()
    del item["segmentation"]
    tree.add(source="shop", item1=item)
    records, skipped = _read(tree)
    assert [r.outline for r in records] == [square, None, [[1, 2]], None, None]
    plan_crops(records, tree.root)
    assert [Path(r.mask_path).name for r in records] == ["000001_item1.mask.png", "", "000001_item3.mask.png", "", ""]
    assert not skipped


def test_a_missing_category_name_is_looked_up(tree: Tree) -> None:
    item = _item(category_id=13)
    del item["category_name"]
    tree.add(item1=item)
    assert _read(tree)[0][0].category_name == CATEGORIES[13] == "sling dress"


def test_optional_fields_may_be_missing(tree: Tree) -> None:
    tree.add(item1={"style": 1, "bounding_box": [1, 2, 3, 4], "category_id": 5})
    record = _read(tree)[0][0]
    assert (record.occlusion, record.viewpoint, record.scale, record.zoom_in) == (0, 0, 0, 0)
    assert record.text == "A user photo of a person wearing a vest."


def test_faults_are_reported_and_the_rest_is_read(tree: Tree) -> None:
    good = tree.add(item1=_item())
    faults = {
        tree.add(text='{"source": "user", "pai'): "broken JSON",
        tree.add(text=""): "broken JSON",
        tree.add(text="[1, 2]"): "annotation lacks source or pair_id",
        tree.add(text='{"pair_id": 3}'): "annotation lacks source or pair_id",
        tree.add(text='{"source": "user"}'): "annotation lacks source or pair_id",
        tree.add(source="billboard", item1=_item()): "annotation lacks source or pair_id",
        tree.add(image=False, item1=_item()): "annotation without an image",
    }
    without_annotation = tree.add(item1=_item())
    (tree.root / "train" / "annos" / f"{without_annotation}.json").unlink()
    records, skipped = _read(tree)
    expected = {f"train/annos/{name}.json#None": reason for name, reason in faults.items()}
    expected[f"train/image/{without_annotation}.jpg#None"] = "image without an annotation"
    assert skipped == expected
    assert [r.image_id for r in records] == [good]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (_item(style=0), "style 0 (no partner)"),
        (_item(bounding_box=[10, 10, 10, 40]), "empty box"),
        (_item(bounding_box=[10, 40, 30, 20]), "empty box"),
        (_item(bounding_box=[10, 10, 30]), "empty box"),
        (_item(bounding_box=[]), "empty box"),
        (_item(bounding_box=[10.2, 10, 10.9, 40]), "empty box"),
        (_item(bounding_box=None), "item lacks style, category_id or bounding_box"),
        (_item(bounding_box=["a", 1, 2, 3]), "item lacks style, category_id or bounding_box"),
        (_item(style=None), "item lacks style, category_id or bounding_box"),
        (_item(category_id="top"), "item lacks style, category_id or bounding_box"),
        ({"bounding_box": [1, 2, 3, 4], "category_id": 1}, "item lacks style, category_id or bounding_box"),
        ({"style": 1, "category_id": 1}, "item lacks style, category_id or bounding_box"),
        ({"style": 1, "bounding_box": [1, 2, 3, 4]}, "item lacks style, category_id or bounding_box"),
        ("text", "item lacks style, category_id or bounding_box"),
        (None, "item lacks style, category_id or bounding_box"),
    ],
)  # fmt: skip
def test_a_faulty_item_is_skipped_and_its_neighbour_is_read(tree: Tree, item: Any, reason: str) -> None:
    name = tree.add(item1=item, item2=_item())
    records, skipped = _read(tree)
    assert skipped == {f"train/annos/{name}.json#1": reason}
    assert [r.item_idx for r in records] == [2]


@pytest.mark.parametrize(
    "item", [_item(occlusion=None), _item(viewpoint="front"), _item(bounding_box=[float("nan"), 1, 5, 9])],
    ids=["null", "word", "nan"],
)  # fmt: skip
def test_no_odd_value_of_an_item_stops_the_reader(tree: Tree, item: dict[str, Any]) -> None:
    tree.add(item1=item)
    second = tree.add(item1=_item())
    records, _ = _read(tree)
    assert second in [r.image_id for r in records]


def test_a_pair_id_that_is_no_number_is_no_broken_json(tree: Tree) -> None:
    name = tree.add(pair_id="first", item1=_item())
    assert _read(tree)[1] == {f"train/annos/{name}.json#None": "annotation lacks source or pair_id"}


def test_other_keys_of_an_annotation_are_no_items(tree: Tree) -> None:
    tree.add(item1=_item(), items=[_item()], item_count=3, itemX=_item())
    assert [r.item_idx for r in _read(tree)[0]] == [1]


def test_official_key_gives_a_sku_its_most_frequent_category(tree: Tree) -> None:
    for category in (1, 2, 2, 5):
        tree.add(item1=_item(category_id=category, category_name=CATEGORIES[category]))
    tree.add(pair_id=2, item1=_item(category_id=5, category_name="vest"))
    records, _ = _read(tree, sku_key="pair_style")
    assert [r.sku_id for r in records] == ["000001_01"] * 4 + ["000002_01"]
    assert {(r.category_id, r.category_name) for r in records[:4]} == {(2, "long sleeve top")}
    assert records[4].category_id == 5
    assert {r.sku_id for r in _read(tree)[0][:4]} == {"000001_01_01", "000001_01_02", "000001_01_05"}


def test_missing_and_unlabelled_splits(tree: Tree) -> None:
    tree.add(item1=_item())
    (tree.root / "test" / "image").mkdir(parents=True)
    source = DeepFashion2(str(tree.root))
    with pytest.raises(MissingSplitError, match="is not there"):
        source.read("validation")
    with pytest.raises(MissingSplitError, match="no labels"):
        source.read("test")


def test_wrong_layout_says_what_was_expected_and_found(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError, match=r"train/image and train/annos.*found photos, readme\.txt"):
        DeepFashion2(str(tmp_path))


def test_wrong_arguments_say_what_to_type(tree: Tree, tmp_path: Path) -> None:
    tree.add(item1=_item())
    with pytest.raises(UserError, match=r"add data\.root=<folder>"):
        DeepFashion2(None)
    with pytest.raises(UserError, match="no such folder"):
        DeepFashion2(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="choose pair_style_category or pair_style"):
        DeepFashion2(str(tree.root), "pair")
