"""products.jsonl: what a source says of its SKUs in words."""

import json
from pathlib import Path

import pytest

from skufp.artifacts.products import FILE, Product, fields_of, read_fields, read_products, write_products
from skufp.errors import UserError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    products = [Product("train", "1", "top", {"brand": "Änne", "price": "0"}), Product("train", "2", "skirt")]
    write_products(tmp_path, products)
    assert read_products(tmp_path) == products
    assert read_fields(tmp_path / FILE, "train") == {"1": products[0].fields, "2": {}}
    assert read_fields(tmp_path / FILE, "validation") == {}


def test_cells_become_text_and_empty_ones_are_left_out() -> None:
    row = {
        "sku": 7,
        "price": 0,
        "wool": False,
        "sizes": ["S", "", "M"],
        "none": None,
        "nan": float("nan"),
        " a ": " b ",
    }
    assert fields_of(row, ["sku"]) == {"price": "0", "wool": "no", "sizes": "S, M", "a": "b"}


@pytest.mark.parametrize("line", ["{", "[]", '{"split": "train"}'])
def test_a_line_that_is_no_product_is_named(tmp_path: Path, line: str) -> None:
    good = json.dumps({"split": "train", "sku_id": "1", "colour": "red"})
    (tmp_path / FILE).write_text(f"{good}\n\n{line}\n")
    with pytest.raises(UserError, match=r"products\.jsonl, line 3: not a JSON object"):
        read_fields(tmp_path / FILE, "train")


def test_two_lines_of_one_sku_are_refused(tmp_path: Path) -> None:
    rows = [{"split": s, "sku_id": 1, "colour": "red"} for s in ("train", "validation", "train")]
    (tmp_path / FILE).write_text("\n".join(map(json.dumps, rows)))
    assert read_fields(tmp_path / FILE, "validation") == {"1": {"colour": "red"}}
    with pytest.raises(UserError, match="line 3: SKU '1' of split train has a line already"):
        read_fields(tmp_path / FILE, "train")
