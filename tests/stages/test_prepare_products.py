"""What stage=prepare says of SKUs in words, and of those that no photo is left of."""

from dataclasses import replace

from skufp.artifacts.products import Product
from skufp.artifacts.records import CATALOG, Skipped
from skufp.data.sources import whole_image
from skufp.stages.prepare import describe_products, lost_products

READ = [whole_image("train", sku, 1, CATALOG, f"{sku}.jpg", number, "") for number, sku in enumerate("abc")]
LOST = [Skipped("train", "b.jpg", 1, "not an image"), Skipped("train", "b.jpg", 2, "never read")]


def test_dev_is_named_by_its_source_s_train() -> None:
    fields = {("train", "a"): {"colour": "red"}, ("train", "b"): {"colour": "blue"}}
    left = [READ[0], replace(READ[1], split="dev")]
    assert describe_products(fields, left) == [
        Product("dev", "b", "", {"colour": "blue"}), Product("train", "a", "", {"colour": "red"}),
    ]  # fmt: skip


def test_lost_products_are_told_with_their_reason() -> None:
    fields = {("train", "b"): {"sku": "B-1"}, ("train", "d"): {}}
    left = [Product("train", "a", ""), Product("dev", "c", "")]
    assert lost_products(fields, READ, left, LOST) == [
        {"split": "train", "id": "B-1", "reason": "not an image: b.jpg"},
        {"split": "train", "id": "d", "reason": "no photo that can be used"},
    ]


def test_ids_that_splits_share_are_told_apart() -> None:
    read = [*READ, replace(READ[1], split="validation")]
    found = lost_products({}, read, [Product("train", "a", ""), Product("train", "c", "")], LOST)
    assert [row["id"] for row in found] == ["train/b", "validation/b"]
