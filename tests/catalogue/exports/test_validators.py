"""Each validator finds each kind of mistake planted in a file that was right."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.exports import VALIDATORS, Shop, export, google, json_ld, products, shopify

Make = Callable[..., Described]
PLANTED = [
    (products.FILE, '"sku_id"', '"sku"', "sku_id"),
    (products.FILE, '"Navy crew-neck T-shirt"', '""', "copy"),
    (products.FILE, '"Navy crew-neck T-shirt"', f'"{"x" * 151}"', "copy"),
    (products.FILE, '"Solid navy"', '"=1+1"', "bullet_point_1"),
    (products.FILE, '"Solid navy"', '"Solid","navy"', "row"),
    (shopify.FILE, '"URL handle"', '"Handle"', "URL handle"),
    (shopify.FILE, '"tee-1","<p>', '"tee 1","<p>', "URL handle"),
    (shopify.FILE, '"draft"', '"hidden"', "Status"),
    (shopify.FILE, '"29.90"', '"29,90"', "Price"),
    (shopify.FILE, '"29.90"', '"NaN"', "Price"),
    (shopify.FILE, '"https://cdn', '"cdn', "Product image URL"),
    (shopify.FILE, '"Navy crew-neck T-shirt","tee', '"","tee', "Title"),
    (shopify.FILE, '"Plain and quiet."', f'"{"x" * 161}"', "SEO description"),
    (google.TSV_FILE, "\tprice\t", "\tcost\t", "header"),
    (google.TSV_FILE, "trained_algorithmic_media:Navy", "ai:Navy", "digital_source_type"),
    (google.TSV_FILE, "trained_algorithmic_media:Navy crew-neck T-shirt", "trained_algorithmic_media:", "title"),
    (google.TSV_FILE, "media:Navy", "media:" + "x" * 150, "title"),
    (google.TSV_FILE, "in_stock", "available", "availability"),
    (google.TSV_FILE, "29.90 EUR", "29.90", "price"),
    (google.TSV_FILE, "4006381333931", "4006381333930", "gtin"),
    (google.TSV_FILE, "tee-1\t", "=tee\t", "id"),
    (google.TSV_FILE, "tee-1\t", "x" * 51 + "\t", "id"),
    (google.XML_FILE, "</channel>", "", "xml"),
    (google.XML_FILE, "<g:id>tee-1</g:id>", "", "id"),
    (google.XML_FILE, "trained_algorithmic_media", "robot", "digital_source_type"),
    (google.XML_FILE, "<g:brand>", "<g:brand>x</g:brand><g:brand>", "brand"),
    (google.XML_FILE, "<g:age_group>adult", "<g:age_group>old", "age_group"),
    (google.XML_FILE, "g:pattern>", "g:motif>", "motif"),
    (json_ld.FILE, '"@graph"', '"graph"', "@graph"),
    (json_ld.FILE, '"@type": "Product"', '"@type": "Thing"', "@type"),
    (json_ld.FILE, '"29.90"', '"about 30"', "offers"),
    (json_ld.FILE, "InStock", "Maybe", "offers"),
    (json_ld.FILE, '"https://cdn', '"cdn', "image"),
    (json_ld.FILE, "A navy", "<b>A navy", "text"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "column"), PLANTED)
def test_a_planted_mistake_is_found(
    make: Make, shop: Shop, tmp_path: Path, file: str, right: str, wrong: str, column: str
) -> None:
    assert export([make(images=["1.jpg"])], tmp_path, shop).problems == []
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / file).write_text(text.replace(right, wrong), encoding="utf-8")
    assert column in {problem.column for problem in VALIDATORS[file](tmp_path / file)}


def test_a_planted_photo_of_no_product_is_found(make: Make, shop: Shop, tmp_path: Path) -> None:
    export([make(images=["1.jpg"])], tmp_path, shop)
    path = tmp_path / shopify.FILE
    header, row = path.read_text(encoding="utf-8").splitlines()
    cells = row.count('","') + 1
    stray = ",".join(['""', '"other"', *['""'] * (cells - 2)])
    path.write_text("\n".join([header, row, stray]) + "\n", encoding="utf-8")
    assert [(p.row, p.column) for p in shopify.validate(path)] == [("other", "Title")]


def test_a_node_that_is_there_twice_is_found(make: Make, tmp_path: Path) -> None:
    export([make()], tmp_path)
    path = tmp_path / json_ld.FILE
    graph = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(graph | {"@graph": graph["@graph"] * 2}), encoding="utf-8")
    assert [(p.row, p.reason) for p in json_ld.validate(path)] == [("tee-1", "twice")]
