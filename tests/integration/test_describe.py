"""Attributes and product data through the real command line, beside the small chain."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skufp.catalogue.exports import VALIDATORS
from skufp.catalogue.metadata import FIELDS, ProductCopy

UPSTREAM = ("prepare", "retriever", "embed", "teacher", "fingerprint", "index")


@pytest.fixture(scope="module")
def described(
    command: Any, chain: Any, beside: Any, only: Any, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """The finished stage=describe: working folder, settings, the stage's folder, output."""
    folder = tmp_path_factory.mktemp("describe")
    beside(folder, *UPSTREAM)
    settings = (*chain.settings, "stage=describe", "shop.currency=EUR")
    result = command(folder, *settings)
    assert result.code == 0, result.out + result.err
    return SimpleNamespace(folder=folder, settings=settings, made=only(folder, "describe"), output=result.out)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_product_of_the_gallery_is_described_once(described: Any, chain: Any) -> None:
    skus = [
        row["sku_id"] for row in rows_of(chain.folders["prepare"] / "products.jsonl") if row["split"] == "validation"
    ]
    rows = rows_of(described.made / "products.jsonl")
    assert [row["facts"]["sku_id"] for row in rows] == [f"validation/{sku}" for sku in sorted(skus)]
    for row in rows:
        ProductCopy.model_validate(row["copy"])
        assert row["written_by"] == dict.fromkeys(FIELDS, "template")
        assert len(row["similar"]) == min(5, len(skus) - 1)
        assert row["facts"]["sku_id"] not in {hit["sku_id"] for hit in row["similar"]}


def test_every_export_reads_back_without_a_fault(described: Any, read: Any) -> None:
    report = read(described.made / "report.json")
    assert report["exports"]["problems"] == []
    for file, validate in VALIDATORS.items():
        assert (described.made / file).exists()
        assert validate(described.made / file) == []
        assert report["exports"]["rows"][file] == report["products"] == report["described"]
    assert report["fields_by_model"] == 0
    assert "report.json" in described.output.replace("\n", "")


def test_labels_are_scored_by_pictures_alone_and_said_by_the_manifest(described: Any, only: Any, read: Any) -> None:
    folder = only(described.folder, "attributes")
    report = read(folder / "report.json")
    assert {"category", "colour", "pattern"} <= set(report["attributes"])
    labelled = [r for r in rows_of(folder / "facts.jsonl") if r["split"] == "validation"]
    assert report["attributes"]["colour"]["labelled"] <= len(labelled)
    assert all(
        row["attributes"]["colour"]["source"] == "manifest" for row in labelled if row["fields"]["colour"] == "red"
    )
    complete = report["completeness"]
    assert 0 < complete["before"] <= complete["after"] <= 1
    assert "macro-F1" in described.output


def test_a_card_shows_photo_copy_and_what_to_wear_with_it(described: Any) -> None:
    page = (described.made / "cards.html").read_text(encoding="utf-8")
    rows = rows_of(described.made / "products.jsonl")
    assert page.count("<article") == len(rows)
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert rows[0]["copy"]["seo_tags"][0] in page
    assert "Complete the look" in page


def test_a_rerun_reads_its_cache_and_says_the_same(
    command: Any, described: Any, tmp_path: Path, read: Any, only: Any
) -> None:
    (tmp_path / "runs").mkdir()
    for stage in (*UPSTREAM, "attributes"):
        (tmp_path / "runs" / stage).symlink_to(described.folder / "runs" / stage)
    (tmp_path / "cache").symlink_to(described.folder / "cache")
    result = command(tmp_path, *described.settings)
    assert result.code == 0, result.err
    again = only(tmp_path, "describe")
    assert read(again / "report.json")["timing"]["cache"] == len(rows_of(again / "products.jsonl"))
    for file in VALIDATORS:
        assert (again / file).read_bytes() == (described.made / file).read_bytes()


def test_a_person_s_correction_wins(command: Any, described: Any, beside: Any, tmp_path: Path, only: Any) -> None:
    beside(tmp_path, *UPSTREAM)
    table = only(described.folder, "attributes") / "attributes.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = next(row for row in rows if row["sku"].startswith("validation/") and row["attribute"] == "colour")
    first["value"] = "purple"
    with (tmp_path / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
    result = command(tmp_path, *described.settings, "vocabulary.overrides=mine.csv")
    assert result.code == 0, result.err
    products = {row["facts"]["sku_id"]: row for row in rows_of(only(tmp_path, "describe") / "products.jsonl")}
    assert products[first["sku"]]["facts"]["attributes"]["colour"] == {
        "value": "purple", "confidence": 1.0, "source": "override",
    }  # fmt: skip
    assert "purple" in products[first["sku"]]["copy"]["title"].lower()


@pytest.mark.slow
def test_people_s_labels_teach_probes(command: Any, described: Any, beside: Any, tmp_path: Path, only: Any) -> None:
    beside(tmp_path, *UPSTREAM)
    known = rows_of(only(described.folder, "attributes") / "facts.jsonl")
    said = [(r["sku_id"], "category", r["category"]) for r in known]
    said += [(r["sku_id"], "colour", r["attributes"]["colour"]["value"]) for r in known if "colour" in r["attributes"]]
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sku", "attribute", "value"), *said])
    result = command(tmp_path, *described.settings, "stage=attributes", "vocabulary.probe=labels.csv")
    assert result.code == 0, result.err
    report = json.loads((only(tmp_path, "attributes") / "report.json").read_text())["attributes"]
    assert report["category"]["evidence"] == report["colour"]["evidence"] == "probe"
    assert report["category"]["calibrated_on"] == sum(name == "category" for _, name, _ in said)
    (tmp_path / "labels.csv").write_text("sku,attribute,value\nnobody,colour,red\n")
    result = command(tmp_path, *described.settings, "stage=attributes", "vocabulary.probe=labels.csv")
    assert result.code == 2
    assert "there is no SKU 'nobody'" in result.err


def test_one_photo_is_one_product(command: Any, described: Any, chain: Any, read: Any) -> None:
    photo = next((chain.folders["prepare"] / "validation" / "query").rglob("*.jpg"))
    result = command(described.folder, *described.settings, "--image", str(photo))
    assert result.code == 0, result.out + result.err
    folder = next(p.parent for p in (described.folder / "runs" / "describe").glob("*/photos.json"))
    (row,) = read(folder / "photos.json")
    ProductCopy.model_validate(row["copy"])
    assert len(row["similar"]) == 5
    assert row["copy"]["title"] in result.out
    assert (folder / "cards.html").read_text().count("<article") == 1


def test_a_filter_leaves_what_fits_as_corrected(described: Any, chain: Any, command: Any, read: Any) -> None:
    products = rows_of(chain.folders["prepare"] / "products.jsonl")
    gallery = [row for row in products if row["split"] == "validation"]
    colour = gallery[0]["fields"]["colour"]
    arguments = ("stage=search", "--text", "a top", f"query.filter.colour={colour.upper()}")
    result = command(described.folder, *chain.settings, *arguments)
    assert result.code == 0, result.err
    expected = {row["sku_id"] for row in gallery if row["fields"]["colour"] == colour}
    assert f"filter: colour = {colour.upper()}: {len(expected)} of {len(gallery)} SKUs" in result.out
    (folder,) = (described.folder / "runs" / "search").glob("*/results.json")
    hits = read(folder)[0]["hits"]
    assert {hit["sku_id"] for hit in hits} <= expected
    assert len(hits) == min(5, len(expected))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["--image", "nowhere.jpg"], "--image nowhere.jpg: there is no such file"),
        (["vocabulary.overrides=mine.csv"], "vocabulary.overrides=mine.csv: there is no such file"),
        (["shop.availability=in_stok"], "Did you mean 'in_stock'"),
        (["llm.tone=frendly"], "friendly"),
        (["vocabulary.precision=80"], "vocabulary.precision=80"),
        (["vocabulary.extend=mine.yaml"], "vocabulary.extend=mine.yaml: there is no such file"),
        (["llm=local", "llm.gguf=none.gguf"], "llm.gguf=none.gguf: there is no such file"),
        (["--text", "navy tee"], "stage=search"),
    ],
)
def test_mistakes_get_a_line(command: Any, tmp_path: Path, settings: list[str], said: str) -> None:
    result = command(tmp_path, "stage=describe", "progress=false", *settings)
    assert result.code == 2
    assert said in result.err, result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "runs").exists()
