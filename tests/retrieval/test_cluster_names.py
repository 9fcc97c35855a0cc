"""Names for groups: by hand, and the log-odds as the paper writes it."""

import math

import numpy as np
import pytest

from skufp.retrieval.cluster_names import CERTAIN, Words, log_odds, names, traits

FIELDS = ["colour", "pattern"]


def _product(category: str = "", colour: str = "", pattern: str = "", title: str = "") -> Words:
    values = {"category": category, "colour": colour, "pattern": pattern}
    return {name: [value] for name, value in values.items() if value} | {"title": title.split()}


GROUPS = [
    [_product("short sleeve top", "blue", "striped")] * 8 + [_product("vest", "red", "solid")] * 2,
    [_product("skirt", "blue", "solid")] * 4 + [_product("skirt", "red", "solid")] * 5,
    [_product("trousers", "black", "solid")] * 4 + [_product("shorts", "black", "solid")] * 3
    + [_product("dress", "black", "solid"), _product("vest", "black", "solid"), _product("coat", "blue", "solid")],
]  # fmt: skip
PRODUCTS = [product for group in GROUPS for product in group]
LABELS = np.repeat(np.arange(3), [len(group) for group in GROUPS])


def test_names_say_what_is_more_frequent_than_elsewhere() -> None:
    made = names(LABELS, PRODUCTS, FIELDS, "category")
    assert made == ["blue striped short sleeve top", "red skirt", "black trousers"]  # most of the rest is solid too


def test_the_order_of_words_is_that_of_the_fields() -> None:
    assert names(LABELS, PRODUCTS, FIELDS[::-1], "category")[0] == "striped blue short sleeve top"


def test_two_kinds_are_joined_where_neither_is_most_of_it() -> None:
    products = [_product(c) for c in ("top", "top", "top", "vest", "vest", "vest", "coat", "dress", "skirt")]
    assert names(np.zeros(9, int), products, FIELDS, "category") == ["top and vest"]
    products = [_product(c, "red") for c in ("top", "top", "vest", "vest", "coat", "coat", "dress", "skirt", "shorts")]
    products += [_product("top", "blue")] * 9
    assert names(np.repeat([0, 1], 9), products, FIELDS, "category") == ["red mixed products", "blue top"]


def test_a_word_that_the_kind_says_already_is_not_said_twice() -> None:
    shorts = [{"category": ["short sleeve top"], "length": ["short"]}] * 9
    others = [{"category": ["trousers"], "length": ["long"]}] * 9
    made = names(np.repeat([0, 1], 9), shorts + others, ["length"], "category")
    assert made == ["short sleeve top", "long trousers"]


def test_without_kinds_or_columns_titles_speak_and_then_numbers() -> None:
    products = [_product(title="linen summer dress")] * 8 + [_product(title="winter boots")] * 8
    labels = np.repeat([0, 1], 8)
    assert names(labels, products, FIELDS, "category", ["title"]) == ["dress linen summer", "boots winter"]
    assert names(labels, products, FIELDS, "category") == ["group 1", "group 2"]


def test_equal_names_are_numbered() -> None:
    assert names(np.repeat([0, 1], 5), [_product("top")] * 10, FIELDS, "category") == ["top", "top (2)"]


def test_traits_are_shares_against_the_rest_once_a_product() -> None:
    products: list[Words] = [{"material": ["cotton", "cotton", "hemp"]}] * 9 + [{"material": ["hemp"]}] + [{}] * 20
    found = traits(np.repeat([0, 1], [10, 20]), products, ["material"])
    assert [(t.value, t.share, t.rest) for t in found[0]] == [("hemp", 1.0, 0.0), ("cotton", 0.9, 0.0)]
    assert found[1] == []


def test_log_odds_with_a_prior_of_one_product() -> None:
    a, b, c, d = 8 + 0.3, 2 + 0.7, 4 + 0.3, 26 + 0.7
    expected = (math.log(a / b) - math.log(c / d)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    assert log_odds(8, 10, 12, 40) == pytest.approx(expected)
    assert log_odds(8, 10, 12, 40) > CERTAIN
    assert log_odds(1, 10, 1, 40) < CERTAIN  # one product's own word
    assert log_odds(3, 10, 12, 40) == pytest.approx(0, abs=0.1)  # as frequent as elsewhere
    assert log_odds(10, 10, 40, 40) == 0  # everywhere
