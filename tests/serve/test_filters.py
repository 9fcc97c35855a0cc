"""Filters at search time: what fits, and what is said of a mistake."""

import re

import numpy as np
import pytest

from skufp.artifacts.products import Product
from skufp.errors import UserError
from skufp.serve.filters import facts_of, matching

PRODUCTS = [
    Product(
        "test", "a", "skirt", {"Color": "Red", "material": "Cotton, Wool", "price": "29", "category": "Women/Skirts"}
    ),
    Product("test", "b", "skirt", {"colour": "navy  blue", "fabric": "cotton", "price": "35"}),
    Product("test", "c", "vest", {"main_colour": "red", "price": "29"}),
    Product("test", "d", "vest", {}),
    Product("validation", "a", "shorts", {"colour": "red", "second colour": "white"}),
]  # fmt: skip
FACTS = facts_of(PRODUCTS)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"colour": "red"}, ["test/a", "test/c", "validation/a"]),
        ({"colour": " RED "}, ["test/a", "test/c", "validation/a"]),
        ({"Color": "red"}, ["test/a"]),  # that very column
        ({"colour": "navy blue"}, ["test/b"]),
        ({"colour": ["navy blue", "red"], "category": "skirt"}, ["test/a", "test/b"]),
        ({"fabric": "cotton"}, ["test/a", "test/b"]),
        ({"fabric": "wool"}, ["test/a"]),
        ({"material": "cotton, wool"}, ["test/a"]),
        ({"category": "women/skirts"}, ["test/a"]),
        ({"category_name": "skirt"}, ["test/a", "test/b"]),
        ({"category": "vest"}, ["test/c", "test/d"]),
        ({"price": 29}, ["test/a", "test/c"]),
        ({"second_colour": "white"}, ["validation/a"]),
        ({"colour": "red", "price": "29", "category": "vest"}, ["test/c"]),
        ({}, ["test/a", "test/b", "test/c", "test/d", "validation/a"]),
    ],
)
def test_what_fits(wanted: dict[str, object], expected: list[str]) -> None:
    assert [f"{split}/{sku}" for split, sku in matching(FACTS, wanted)] == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"colour": "redd"}, "query.filter.colour=redd: no SKU of the gallery has it. Did you mean 'red'?"),
        ({"colour": ["red", "navyblue"]}, "query.filter.colour=navyblue: no SKU of the gallery has it. Did you mean"),
        ({"colours": "red"}, "query.filter.colours: no SKU of the gallery has such a field. Did you mean 'colour'?"),
        ({"second_color": "red"}, "Did you mean 'second_colour'?"),
        ({"price": "1000"}, "Valid: 29, 35."),
        (
            {"colour": "navy blue", "category": "vest"},
            "no SKU of the gallery fits all of query.filter (colour=navy blue fits 1, category=vest fits 2 of 5)",
        ),
    ],
)
def test_mistakes(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        matching(FACTS, wanted)


def test_of_many_values_a_few_are_named() -> None:
    facts = {("test", str(i)): {"price": str(1000 + i)} for i in range(40)}
    with pytest.raises(UserError, match=r"Valid: 1000, .*1011, … \(40 in all\)\."):
        matching(facts, {"price": "x"})


def test_facts_may_come_from_anywhere() -> None:
    rng = np.random.default_rng(0)
    facts = {
        ("s", str(i)): {"colour": rng.choice(["red", "blue"]), "fit": rng.choice(["slim", "loose"])} for i in range(50)
    }
    expected = [sku for sku, own in facts.items() if own["colour"] == "red" and own["fit"] == "slim"]
    assert matching(facts, {"colour": "red", "fit": "slim"}) == expected
