"""The row of the journal."""

import json

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.metadata import ProductCopy

COPY = ProductCopy(
    title="नीली साड़ी",
    bullet_points=["a", 'b "c"', "d\ne"],
    description="d",
    style_summary="s",
    seo_tags=["a", "b", "c", "d", "e"],
)


def test_a_row_comes_back() -> None:
    facts = Facts("s-1", "saree", {"colour": Value("blue", 0.1 + 0.2, "pixels")}, {"price": "29.90"})
    product = Described(facts, COPY, {"title": "model"}, [{"sku_id": "s-2", "score": 0.9}], ["a/1.jpg"])
    row = json.loads(json.dumps(product.to_dict()))
    assert Described.from_dict(row | {"key": "k"}) == product
    failed = Described.failed("s-3", "")
    assert Described.from_dict(json.loads(json.dumps(failed.to_dict()))) == failed
    assert failed.error == "unknown error"


def test_copy_or_an_error_and_known_writers() -> None:
    with pytest.raises(ValueError, match="either copy or an error"):
        Described(Facts("s", "c"), None)
    with pytest.raises(ValueError, match="either copy or an error"):
        Described(Facts("s", "c"), COPY, error="x")
    with pytest.raises(ValueError, match="'model' and 'template'"):
        Described(Facts("s", "c"), COPY, {"title": "robot"})
