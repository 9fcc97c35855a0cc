"""stage=describe: product data of a catalogue, or of single photos, as JSON, CSV, feeds and cards."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG
from skufp.artifacts.vectors import VectorTable
from skufp.catalogue.attribute_files import load_vocabulary, read_facts
from skufp.catalogue.pictures import all_records
from skufp.compute.progress import ProgressBar
from skufp.config import plain
from skufp.data.query_photos import check_photos
from skufp.errors import UserError, nearest
from skufp.output import PlainConsole
from skufp.reports.catalogue.cards import PHOTO, Card, tile, write_cards
from skufp.reports.catalogue.descriptions import print_report, report
from skufp.schema import Config
from skufp.schema.settings import Settings
from skufp.stages.describe import photo as describe_photo

if TYPE_CHECKING:
    from skufp.catalogue.bulk import Bulk, Item
    from skufp.catalogue.described import Described
    from skufp.catalogue.exports import Shop
    from skufp.catalogue.facts import Facts
    from skufp.catalogue.vocabulary import Vocabulary
    from skufp.catalogue.writer import CopyWriter

VERSION = 1
JOURNAL, PRODUCTS, RECOMMENDATIONS, REPORT = "journal.jsonl", "products.jsonl", "recommendations.json", "report.json"
Sku = tuple[str, str]


def check(cfg: Config) -> None:
    """Raise UserError for invalid photos, shop or language model before anything runs."""
    from skufp.catalogue.exports.listing import AGE_GROUPS, AVAILABILITIES, CONDITIONS
    from skufp.catalogue.local_server import find_gguf
    from skufp.catalogue.template import Template

    check_photos(cfg)
    if cfg.query.text:
        raise UserError("stage=describe describes photos and catalogues; texts are for stage=search")
    for name, allowed in (("availability", AVAILABILITIES), ("condition", CONDITIONS), ("age_group", AGE_GROUPS)):
        if (value := getattr(cfg.shop, name)) and value not in allowed:
            raise UserError(f"shop.{name}={value}: there is no such choice.{nearest(value, allowed)}")
    Template(cfg.llm.language, cfg.llm.tone)
    if cfg.llm.name == "local":
        find_gguf(cfg.llm.gguf)


def also_uses(cfg: Config, spec: Settings) -> list[str]:
    """Return further settings that change the result: a photo is described with its ``top_k`` neighbours."""
    return ["query.top_k"] if cfg.query.image else []


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write products.jsonl, products.csv, the feeds, recommendations.json, cards.html and report.json.

    With photos (query.image): photos.json and cards.html. A killed run resumes at the end of its journal.
    """
    if cfg.query.image:
        describe_photo.run(cfg, inputs, out)
        return
    from skufp.catalogue.bulk import Bulk
    from skufp.catalogue.exports import export, write_products_csv
    from skufp.catalogue.journal import ContentCache, ProductJournal, always_at_the_end
    from skufp.catalogue.llm import open_writer
    from skufp.modules.encoder_folder import encoder_marks

    vocabulary = load_vocabulary(cfg)
    facts = {sku: f for sku, f in read_facts(inputs["attributes"]).items() if sku[0] in list(cfg.data.gallery)}
    items = to_describe(inputs["prepare"], facts)
    mark, journal = encoder_marks(inputs["retriever"] / "encoder")["fingerprint"], ProductJournal(out / JOURNAL)
    start = time.monotonic()
    with open_writer(plain(cfg.llm)) as writer:
        settings, concurrency = {"copy": writer.identity}, int(cfg.llm.get("concurrency", 1))
        cache = ContentCache(Path(cfg.cache) / "described")
        bulk = Bulk(describer(writer), journal, cache, settings, mark, concurrency)
        with (
            always_at_the_end(lambda: write_products_csv(bulk.products, out)),
            ProgressBar(cfg, "describing", len(items), rate=True) as advance,
        ):
            describe_all(bulk, items, advance, out)
    seconds = time.monotonic() - start
    beside = recommendations(cfg, inputs, facts)
    products = [replace(p, similar=beside[p.sku_id]["similar"]) for p in bulk.products] + lost_products(cfg, inputs)
    write_products(out / PRODUCTS, products)
    write_json(out / RECOMMENDATIONS, beside)
    exported = export(products, out, shop_of(cfg, vocabulary))
    write_cards(out, str(cfg.data.label), cards(cfg, items, products, beside))
    timing = {"seconds": seconds, "concurrency": concurrency, **{k: bulk.tally[k] for k in sorted(bulk.tally)}}
    attributes = read_json(inputs["attributes"] / "report.json")
    names = {"data": str(cfg.data.label)} | {part: str(getattr(cfg, part).name) for part in ("model", "llm")}
    write_json(
        out / REPORT, {"run": names, **report(vocabulary, products, timing, writer.template, exported, attributes)}
    )


def describe_all(bulk: "Bulk", items: "list[Item]", advance: Callable[[int], None], out: Path) -> None:
    """Describe ``items``; on Ctrl-C print where the finished products are."""
    try:
        bulk.run(items, advance)
    except KeyboardInterrupt:
        done = f"{len(bulk.products)} of {len(items)} products are in {out / 'products.csv'}"
        PlainConsole(stderr=True).print(done, soft_wrap=True)
        raise


def to_describe(prepared: Path, facts: "dict[Sku, Facts]") -> "list[Item]":
    """Return one item for every product: its crops, the main photo first, and its facts."""
    from skufp.catalogue.bulk import Item

    views: dict[Sku, list[Any]] = {}
    for record in all_records(prepared):
        if record.domain == CATALOG:
            views.setdefault(record.sku, []).append(record)
    items = []
    for sku in sorted(facts):
        own = sorted(views.get(sku, []), key=lambda r: r.view_id)
        inputs = {"facts": facts[sku].to_dict(), "images": list(dict.fromkeys(r.orig_image_path for r in own))}
        items.append(Item(facts[sku].sku_id, [prepared / r.image_path for r in own], inputs))
    return items


def describer(writer: "CopyWriter") -> "Callable[[Item], Described]":
    """Return a function from an item to a described product."""
    from skufp.catalogue.described import Described
    from skufp.catalogue.facts import Facts

    def describe(item: "Item") -> Described:
        facts = Facts.from_dict(item.inputs["facts"])
        written = writer.write(facts)
        return Described(facts, written.copy, written.written_by, [], list(item.inputs["images"]), notes=written.notes)

    return describe


def recommendations(
    cfg: Config, inputs: dict[str, Path], facts: "dict[Sku, Facts]"
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return every product's recommendations, by id, from the fingerprints of the gallery."""
    from skufp.retrieval.recommend import recommend

    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    table = table.where(split=list(cfg.data.gallery))
    known = [facts[sku] for sku in table.sku_keys()]
    pairs = list(zip(table.column("split"), table.column("pair_id"), strict=True))
    styles = [f.fields.get("item_group_id") or f.fields.get("style") or pairs[i] for i, f in enumerate(known)]
    colours = [f.attributes["colour"].value if "colour" in f.attributes else None for f in known]
    genders = [f.attributes["gender"].value if "gender" in f.attributes else None for f in known]
    categories, count = [f.category for f in known], int(cfg.stages.describe.recommendations)
    found = recommend(np.asarray(table.vectors), categories, styles, colours, count, genders)
    return {
        known[row].sku_id: {
            kind: [{"sku_id": known[hit["row"]].sku_id, "score": round(hit["score"], 4)} for hit in hits]
            for kind, hits in asdict(own).items()
        }
        for row, own in enumerate(found)
    }


def lost_products(cfg: Config, inputs: dict[str, Path]) -> "list[Described]":
    """Return a row with the reason for each product without a usable photo."""
    from skufp.catalogue.described import Described

    lost = read_json(inputs["prepare"] / "report.json")["lost_products"]
    return [Described.failed(row["id"], row["reason"]) for row in lost if row["split"] in list(cfg.data.gallery)]


def write_products(path: Path, products: "list[Described]") -> None:
    """Write products.jsonl: one described product per line, in the order of their ids' splits."""
    lines = [json.dumps(product.to_dict(), ensure_ascii=False) + "\n" for product in products]
    path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")


def shop_of(cfg: Config, vocabulary: "Vocabulary") -> "Shop":
    """Return the shop's settings, with our categories' entries in the sales channels' taxonomies."""
    from skufp.catalogue.exports import Shop, Taxon

    taxons = {
        name: Taxon(category.shopify.path if category.shopify else "", category.google.id if category.google else "")
        for name, category in vocabulary.categories.items()
    }
    return Shop(**plain(cfg.shop), taxons=taxons)


def cards(cfg: Config, items: "list[Item]", products: "list[Described]", beside: dict[str, Any]) -> list[Card]:
    """Return the cards of the first products that have copy."""
    photo = {item.sku_id: item.photos[0] for item in items if item.photos}
    shown = [product for product in products if product.copy][: cfg.stages.describe.cards]
    return [
        Card(p, tile(photo[p.sku_id], PHOTO), {kind: [(tile(photo[h["sku_id"]]), h["sku_id"], h["score"]) for h in hits]
                                        for kind, hits in beside[p.sku_id].items()})
        for p in shown
    ]  # fmt: skip


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print a summary of the descriptions."""
    if cfg.query.image:
        describe_photo.show(folder, console)
    else:
        print_report(folder, console)


def lay_out(cfg: Config, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
    """Copy the tables, feeds and cards to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted(folder.iterdir()) if path.name not in (JOURNAL, "manifest.json")]
    for path in files:
        shutil.copy2(path, target / path.name)
    console.print(f"laid out in {target}: {', '.join(path.name for path in files)}", soft_wrap=True)
