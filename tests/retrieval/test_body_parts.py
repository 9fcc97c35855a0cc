"""Which part of the body a category is worn on."""

import pytest

from skufp.retrieval.body_parts import FEET, HEAD, LOWER, OUTER, UPPER, worn_on


@pytest.mark.parametrize(
    ("category", "parts"),
    [
        ("short sleeve top", {UPPER}),
        ("long sleeve outwear", {OUTER}),
        ("vest", {UPPER}),
        ("sling", {UPPER}),
        ("shorts", {LOWER}),
        ("trousers", {LOWER}),
        ("vest dress", {UPPER, LOWER}),
        ("Shirt Dresses", {UPPER, LOWER}),
        ("dress shirt", {UPPER}),
        ("T-Shirts", {UPPER}),
        ("Men/Bottoms/Pants", {LOWER}),
        ("Women/Tops/Jackets", {OUTER}),
        ("Men/Tops/Hoodies & Sweatshirts", {UPPER}),
        ("Apparel & Accessories > Shoes", {FEET}),
        ("hat", {HEAD}),
        ("saree", {UPPER, LOWER}),
        ("short", set()),  # a length
        ("handbag", set()),
        ("", set()),
    ],
)
def test_the_last_word_that_says_a_part_decides(category: str, parts: set[str]) -> None:
    assert worn_on(category) == parts
