"""The generated catalogue: layout, schema, planned statistics and reproducibility."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from skufp.data.synthetic import DEFECTS, SPLITS, CatalogueParams, ImagePlan, generate, plan
from skufp.data.synthetic.cuts import CATEGORIES, LANDMARK_COUNTS

SMALL = CatalogueParams(pairs={"train": 6, "validation": 4, "test": 3})
ITEM_FIELDS = {
    "segmentation", "scale", "viewpoint", "zoom_in", "landmarks", "style", "bounding_box", "category_id",
    "occlusion", "category_name",
}  # fmt: skip
Sku = tuple[int, int, int]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("catalogue")
    generate(root, SMALL)
    return root


@pytest.fixture(scope="module")
def default_plan() -> list[ImagePlan]:
    return plan(CatalogueParams())


def _skus(images: list[ImagePlan], split: str, source: str) -> Counter[Sku]:
    return Counter(
        (item.pair_id, item.style, item.cut.category)
        for image in images
        if image.split == split and image.source == source and image.defect is None
        for item in image.items
        if item.style > 0
    )


def _sound_images() -> list[ImagePlan]:
    return [image for image in plan(SMALL) if image.defect is None]


def _notes(root: Path, image: ImagePlan) -> dict[str, Any]:
    path = root / image.split / "annos" / f"{image.number:06d}.json"
    notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notes


def _items(notes: dict[str, Any]) -> list[dict[str, Any]]:
    return [value for name, value in notes.items() if name.startswith("item")]


def test_bytes_do_not_depend_on_the_number_of_workers(small: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, SMALL, workers=2, progress=lambda done, total: calls.append((done, total)))
    first = {p.relative_to(small): p.read_bytes() for p in small.rglob("*") if p.is_file()}
    second = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert first == second
    assert calls[-1] == (len(plan(SMALL)), len(plan(SMALL)))


def test_another_seed_is_another_catalogue() -> None:
    assert plan(SMALL) == plan(SMALL)
    assert plan(SMALL) != plan(CatalogueParams(seed=8, pairs=SMALL.pairs))


def test_every_sound_image_has_its_annotation(small: Path) -> None:
    for image in _sound_images():
        picture = cv2.imread(str(small / image.split / "image" / f"{image.number:06d}.jpg"))
        assert picture is not None
        assert picture.shape == (SMALL.height, SMALL.width, 3)
        notes = _notes(small, image)
        assert notes["source"] == image.source
        assert notes["pair_id"] == image.items[0].pair_id
        assert "item1" in notes


def test_items_follow_the_schema(small: Path) -> None:
    for image in _sound_images():
        for item in _items(_notes(small, image)):
            assert set(item) == ITEM_FIELDS
            assert item["category_name"] == CATEGORIES[item["category_id"]]
            assert all(item[name] in (1, 2, 3) for name in ("scale", "occlusion", "zoom_in", "viewpoint"))
            assert len(item["landmarks"]) == 3 * LANDMARK_COUNTS[item["category_id"]]
            assert set(item["landmarks"][2::3]) <= {0, 1, 2}
            assert item["style"] >= 0


def test_polygons_lie_in_the_image_and_span_the_box(small: Path) -> None:
    for image in _sound_images():
        for item in _items(_notes(small, image)):
            points = np.concatenate([np.reshape(p, (-1, 2)) for p in item["segmentation"]])
            assert all(len(p) >= 6 and len(p) % 2 == 0 for p in item["segmentation"])
            assert points.min() >= 0
            assert np.all(points.max(0) <= (SMALL.width, SMALL.height))
            assert [*points.min(0), *points.max(0)] == item["bounding_box"]
            x1, y1, x2, y2 = item["bounding_box"]
            assert x2 > x1
            assert y2 > y1


def test_first_item_is_large_enough_to_crop(small: Path) -> None:
    sides = [_notes(small, image)["item1"]["bounding_box"] for image in _sound_images()]
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in sides]
    assert np.median(areas) > 90 * 90
    assert min(areas) > 25 * 25


def test_defects_are_in_train_only(small: Path) -> None:
    planned = {image.defect: image for image in plan(SMALL) if image.defect}
    assert set(planned) == set(DEFECTS)
    assert {image.split for image in planned.values()} == {"train"}
    x1, _, x2, _ = _notes(small, planned["box_outside"])["item1"]["bounding_box"]
    assert x1 < 0 or x2 > SMALL.width
    empty = _notes(small, planned["box_empty"])["item1"]["bounding_box"]
    assert empty[0] == empty[2]
    folder = small / "train" / "image"
    assert not (folder / f"{planned['image_missing'].number:06d}.jpg").exists()
    assert not (folder / f"{planned['image_truncated'].number:06d}.jpg").read_bytes().endswith(b"\xff\xd9")
    with pytest.raises(json.JSONDecodeError):
        _notes(small, planned["json_broken"])
    assert not any(image.defect for image in plan(CatalogueParams(pairs=SMALL.pairs, defects=False)))


def test_small_catalogue_has_views_queries_and_siblings(small: Path) -> None:
    for split in SPLITS:
        gallery, queries = _skus(plan(SMALL), split, "shop"), _skus(plan(SMALL), split, "user")
        assert set(gallery) & set(queries)
        assert any(style > 1 for _, style, _ in gallery)


def test_attributes_have_one_row_per_sku(small: Path) -> None:
    rows = [json.loads(line) for line in (small / "attributes.jsonl").read_text(encoding="utf-8").splitlines()]
    ids = [(row["split"], row["sku_id"]) for row in rows]
    expected = {
        (image.split, f"{item.pair_id:06d}_{item.style:02d}_{item.cut.category:02d}")
        for image in plan(SMALL)
        for item in image.items
        if item.style > 0
    }
    assert len(ids) == len(set(ids))
    assert set(ids) == expected


@pytest.mark.parametrize("split", SPLITS)
def test_all_categories_occur_in_every_split(default_plan: list[ImagePlan], split: str) -> None:
    assert {category for _, _, category in _skus(default_plan, split, "shop")} == set(range(1, 14))


def test_view_and_query_counts_follow_the_real_set(default_plan: list[ImagePlan]) -> None:
    views = np.array(list(_skus(default_plan, "train", "shop").values()))
    queries = _skus(default_plan, "train", "user")
    assert len(views) >= 250
    assert np.median(views) in (3, 4, 5)
    assert 3.8 <= views.mean() <= 5.2
    assert 0.08 <= np.mean(views == 1) <= 0.22
    counts = np.array(list(queries.values()))
    assert np.median(counts) == 2
    assert 0.3 <= np.mean(counts == 1) <= 0.5
    assert counts.max() >= 9
    assert 0.25 <= 1 - len(queries) / len(views) <= 0.45


def test_most_queries_have_a_sibling_style_and_some_items_have_no_partner(
    default_plan: list[ImagePlan],
) -> None:
    gallery, queries = _skus(default_plan, "train", "shop"), _skus(default_plan, "train", "user")
    styles = defaultdict(set)
    for pair, style, _ in gallery:
        styles[pair].add(style)
    with_sibling = sum(n for (pair, style, _), n in queries.items() if styles[pair] - {style})
    assert 0.55 <= with_sibling / sum(queries.values()) <= 0.8
    loose = [item.style == 0 for image in default_plan for item in image.items]
    assert 0.08 <= np.mean(loose) <= 0.18


def test_siblings_share_the_cut_and_differ_in_colour(default_plan: list[ImagePlan]) -> None:
    groups = defaultdict(dict)
    for image in default_plan:
        for item in image.items:
            if item.style > 0:
                groups[image.split, item.pair_id, item.cut.category][item.style] = item
    families = [list(group.values()) for group in groups.values() if len(group) > 1]
    assert families
    for family in families:
        assert len({item.cut for item in family}) == 1
        assert len({item.colours.names[0] for item in family}) == len(family)
