"""Golden rows, written by hand from each format's specification."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.exports import VALIDATORS, ExportReport, Shop, export, google, json_ld, products, shopify
from skufp.catalogue.exports.cells import runs_in_a_spreadsheet
from skufp.catalogue.facts import Value

Make = Callable[..., Described]
G = "{http://base.google.com/ns/1.0}"


def rows_of(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Read a table as any other program would."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), delimiter=delimiter))


def filled(row: dict[str, str]) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if cell}


def test_products_csv(make: Make, tmp_path: Path) -> None:
    similar = [{"sku_id": "tee-2", "score": 0.93456}, {"sku_id": "tee-3", "score": 0.5}]
    bad = Described.failed("tee-9", "UnidentifiedImageError: cannot identify image file")
    report = export([make(similar=similar, images=["1.jpg", "2.jpg"]), bad], tmp_path)
    first, second = rows_of(tmp_path / products.FILE)
    assert filled(first) == {
        "sku_id": "tee-1",
        "category": "T-shirt",
        "title": "Navy crew-neck T-shirt",
        "bullet_point_1": "Solid navy",
        "bullet_point_2": "Short sleeves, crew neck",
        "bullet_point_3": "Cotton",
        "description": "A navy T-shirt.\n\nMade of cotton.",
        "style_summary": "Plain and quiet.",
        "seo_tags": "navy t-shirt | crew neck | cotton | short sleeve | solid",
        "colour": "navy", "colour_confidence": "0.9100", "colour_source": "pixels",
        "fabric": "cotton", "fabric_confidence": "0.6000", "fabric_source": "prompt",
        "pattern": "solid", "pattern_confidence": "0.7500", "pattern_source": "probe",
        "sleeve": "short", "sleeve_confidence": "0.8000", "sleeve_source": "prompt",
        "manifest_price": "29.90", "manifest_currency": "EUR", "manifest_brand": "Åse & Sønn",
        "manifest_gtin": "4006381333931",
        "written_by_model": "title",
        "written_by_template": "description",
        "similar": "tee-2 (0.935) | tee-3 (0.500)",
        "images": "1.jpg | 2.jpg",
    }  # fmt: skip
    assert filled(second) == {"sku_id": "tee-9", "error": "UnidentifiedImageError: cannot identify image file"}
    assert report.left_out == {"tee-9": "UnidentifiedImageError: cannot identify image file"}
    assert report.problems == []
    assert report.rows == {
        "products.csv": 2, "shopify_products.csv": 1, "google_products.tsv": 1, "google_products.xml": 1,
        "products.jsonld": 1,
    }  # fmt: skip


def test_shopify_row(make: Make, shop: Shop, tmp_path: Path) -> None:
    export([make(images=["1.jpg", "2.jpg"])], tmp_path, shop)
    (row,) = rows_of(tmp_path / shopify.FILE)
    assert row == {
        "Title": "Navy crew-neck T-shirt",
        "URL handle": "tee-1",
        "Description": "<p>A navy T-shirt.</p><p>Made of cotton.</p>"
        "<ul><li>Solid navy</li><li>Short sleeves, crew neck</li><li>Cotton</li></ul>",
        "Vendor": "Åse & Sønn",
        "Product category": "aa-1-13-8",
        "Type": "T-shirt",
        "Tags": "navy t-shirt, crew neck, cotton, short sleeve, solid",
        "Published on online store": "FALSE",
        "Status": "draft",
        "SKU": "tee-1",
        "Barcode": "4006381333931",
        "Option1 name": "Title",
        "Option1 value": "Default Title",
        "Price": "29.90",
        "Product image URL": "https://cdn.example/photos/1.jpg",
        "Image position": "1",
        "Image alt text": "Navy crew-neck T-shirt",
        "SEO title": "Navy crew-neck T-shirt",
        "SEO description": "Plain and quiet.",
        "Google Shopping / Google product category": "212",
        "Google Shopping / Age group": "adult",
        "Google Shopping / Condition": "new",
    }


def test_shopify_image_rows_on_request(make: Make, shop: Shop, tmp_path: Path) -> None:
    two = [make("a", images=["1.jpg", "2.jpg", "3.jpg"]), make("b")]
    plain = export(two, tmp_path, shop)
    assert [row["URL handle"] for row in rows_of(tmp_path / shopify.FILE)] == ["a", "b"]
    assert any("2 further photos" in note for note in plain.notes)
    report = export(two, tmp_path, Shop(image_url="https://c.example", image_rows=True))
    rows = rows_of(tmp_path / shopify.FILE)
    assert [(row["URL handle"], row["Image position"], bool(row["Title"])) for row in rows] == [
        ("a", "1", True), ("a", "2", False), ("a", "3", False), ("b", "", True),
    ]  # fmt: skip
    assert filled(rows[1]) == {
        "URL handle": "a", "Product image URL": "https://c.example/2.jpg", "Image position": "2",
        "Image alt text": "Navy crew-neck T-shirt",
    }  # fmt: skip
    assert report.problems == []


def test_shopify_leaves_out_columns_that_would_erase_and_escapes_html(make: Make, tmp_path: Path) -> None:
    export([make(fields={}, description="5 < 6 & <script>alert(1)</script>")], tmp_path)
    (row,) = rows_of(tmp_path / shopify.FILE)
    assert not {"Price", "Vendor", "Barcode", "Product image URL"} & set(row)
    assert row["Description"].startswith("<p>5 &lt; 6 &amp; &lt;script&gt;alert(1)&lt;/script&gt;</p><ul>")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("one two three", "one two three"),
        ("one two three four", "one two three…"),
        ("one two three, four", "one two three…"),
        ("unbreakableword", "unbreakablewo…"),
        ("two\nlines", "two lines"),
    ],
)
def test_shortened_between_words(text: str, short: str) -> None:
    assert shopify.shortened(text, 14) == short


def test_google_tsv_row(make: Make, shop: Shop, tmp_path: Path) -> None:
    fields = {"price": "29.90", "currency": "EUR", "brand": "Å", "mpn": "M-1", "size": "M", "gender": "men"}
    product = make(
        title='Tee: "Navy"', bullet_points=["Solid navy", "Short, crew", 'Says "hi"', "x" * 151], fields=fields,
        images=["1.jpg", "2.jpg", "3.jpg"],
    )  # fmt: skip
    export([product], tmp_path, shop)
    assert len((tmp_path / google.TSV_FILE).read_bytes().splitlines()) == 2
    (row,) = rows_of(tmp_path / google.TSV_FILE, "\t")
    assert filled(row) == {
        "id": "tee-1",
        "structured_title": 'trained_algorithmic_media:"Tee: ""Navy"""',
        "structured_description": "trained_algorithmic_media:A navy T-shirt. Made of cotton.",
        "link": "https://shop.example/p/tee-1",
        "image_link": "https://cdn.example/photos/1.jpg",
        "additional_image_link": "https://cdn.example/photos/2.jpg,https://cdn.example/photos/3.jpg",
        "availability": "in_stock",
        "price": "29.90 EUR",
        "brand": "Å",
        "mpn": "M-1",
        "condition": "new",
        "google_product_category": "212",
        "product_type": "T-shirt",
        "color": "navy",
        "material": "cotton",
        "pattern": "solid",
        "size": "M",
        "age_group": "adult",
        "gender": "male",
        "product_highlight": 'Solid navy,"Short, crew","Says ""hi"""',
    }


def test_google_xml_item(make: Make, shop: Shop, tmp_path: Path) -> None:
    export([make(title="Tee <navy> & co", images=["1.jpg", "2.jpg", "3.jpg"])], tmp_path, shop)
    channel = ET.parse(tmp_path / google.XML_FILE).getroot().find("channel")
    assert channel is not None
    assert [channel.findtext(name) for name in ("title", "link")] == ["Åse", "https://shop.example"]
    (item,) = channel.findall("item")
    assert item.findtext(f"{G}structured_title/{G}content") == "Tee <navy> & co"
    assert item.findtext(f"{G}structured_title/{G}digital_source_type") == "trained_algorithmic_media"
    assert item.findtext(f"{G}structured_description/{G}content") == "A navy T-shirt.\n\nMade of cotton."
    assert [e.text for e in item.findall(f"{G}additional_image_link")] == [
        f"https://cdn.example/photos/{n}.jpg" for n in (2, 3)
    ]
    assert item.findtext(f"{G}gtin") == "4006381333931"
    assert item.find(f"{G}title") is None
    assert b'xmlns:g="http://base.google.com/ns/1.0"' in (tmp_path / google.XML_FILE).read_bytes()


def test_words_of_the_shop_are_not_called_machine_made(make: Make, tmp_path: Path) -> None:
    export([make(written_by={"description": "model"})], tmp_path)
    (row,) = rows_of(tmp_path / google.TSV_FILE, "\t")
    assert (row["title"], row["structured_title"]) == ("Navy crew-neck T-shirt", "")
    assert (row["description"], row["structured_description"][:26]) == ("", "trained_algorithmic_media:")


def test_google_refuses_multicolour(make: Make, tmp_path: Path) -> None:
    report = export([make(attributes={"colour": Value("multicolour", 0.9, "pixels")})], tmp_path)
    assert rows_of(tmp_path / google.TSV_FILE, "\t")[0]["color"] == ""
    assert any("multicolour" in note for note in report.notes)


def test_json_ld_node(make: Make, shop: Shop, tmp_path: Path) -> None:
    export([make(images=["1.jpg"], similar=[{"sku_id": "tee-2", "score": 0.9}])], tmp_path, shop)
    graph = json.loads((tmp_path / json_ld.FILE).read_text(encoding="utf-8"))
    assert graph == {
        "@context": "https://schema.org",
        "@graph": [
            {
                "@type": "Product",
                "@id": "https://shop.example/p/tee-1#product",
                "sku": "tee-1",
                "name": "Navy crew-neck T-shirt",
                "description": "A navy T-shirt.\n\nMade of cotton.",
                "url": "https://shop.example/p/tee-1",
                "image": ["https://cdn.example/photos/1.jpg"],
                "brand": {"@type": "Brand", "name": "Åse & Sønn"},
                "category": "T-shirt",
                "color": "navy",
                "material": "cotton",
                "pattern": "solid",
                "gtin": "4006381333931",
                "keywords": ["navy t-shirt", "crew neck", "cotton", "short sleeve", "solid"],
                "additionalProperty": [{"@type": "PropertyValue", "name": "sleeve", "value": "short"}],
                "isSimilarTo": [{"@type": "Product", "sku": "tee-2"}],
                "offers": {
                    "@type": "Offer",
                    "price": "29.90",
                    "priceCurrency": "EUR",
                    "url": "https://shop.example/p/tee-1",
                    "availability": "https://schema.org/InStock",
                    "itemCondition": "https://schema.org/NewCondition",
                },
            }
        ],
    }


def test_a_script_element_in_copy_does_not_end_the_pages(make: Make, tmp_path: Path) -> None:
    export([make(title="</script><script>alert(1)")], tmp_path)
    text = (tmp_path / json_ld.FILE).read_text(encoding="utf-8")
    assert "<" not in text
    assert json.loads(text)["@graph"][0]["name"] == "</script><script>alert(1)"


@pytest.mark.parametrize(
    "payload", ['=HYPERLINK("http://e.example")', "+1", "-1", "@A1", "\t=1", "\r=1", "x\x00y\ud800"]
)
def test_hostile_text_everywhere(make: Make, shop: Shop, tmp_path: Path, payload: str) -> None:
    said = payload.replace("\ud800", "")  # copy holds no lone surrogates; ids, fields and paths may
    product = make(
        payload, title=said, description=said, style_summary=said, bullet_points=[said] * 3,
        category=payload, fields={"brand": payload, "note": payload, "size": payload}, images=[payload],
        attributes={"colour": Value(payload, 0.5, "manifest")},
        similar=[{"sku_id": payload, "score": 0.1}],
    )  # fmt: skip
    report = export([product, make("tee-2")], tmp_path, shop)
    assert report.problems == []
    for file, delimiter in ((products.FILE, ","), (shopify.FILE, ","), (google.TSV_FILE, "\t")):
        rows = rows_of(tmp_path / file, delimiter)
        assert len(rows) == 2
        cells = [cell for row in rows for cell in row.values()]
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n")]
        assert (file in report.guarded) == runs_in_a_spreadsheet(payload)


def test_missing_is_named_once_with_what_to_supply(make: Make, tmp_path: Path) -> None:
    report = export([make("a", fields={}), make("b")], tmp_path)
    assert report.missing[google.TSV_FILE]["price"] == ["a"]
    assert report.missing[google.TSV_FILE]["link"] == ["a", "b"]
    assert report.missing[json_ld.FILE]["availability"] == ["a", "b"]
    assert set(report.supply) == {name for missing in report.missing.values() for name in missing}
    text = "\n".join(report.lines())
    assert "link is missing for all products in google_products.tsv; supply a column 'link', or shop.link=" in text
    assert "price is missing for 1 products (a) in shopify_products.csv, google_products.tsv, products.jsonld" in text
    assert json.loads(json.dumps(report.to_dict()))["missing"][google.TSV_FILE]["gender"] == ["a", "b"]


def test_no_products_make_empty_files(tmp_path: Path) -> None:
    assert export([], tmp_path).problems == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(VALIDATORS)


def test_products_that_are_there_twice_are_found_in_every_file(make: Make, tmp_path: Path) -> None:
    report = export([make("a"), make("a")], tmp_path)
    assert {problem.file for problem in report.problems} == set(VALIDATORS)
    assert all("twice" in problem.reason for problem in report.problems)


def test_the_same_products_give_the_same_bytes(make: Make, shop: Shop, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        report: ExportReport = export([make("नीली", title="नीली साड़ी 👗"), make("b")], folder, shop)
        assert report.problems == []
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    assert content(tmp_path / "one") == content(tmp_path / "two")
