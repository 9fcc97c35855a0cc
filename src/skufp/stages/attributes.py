"""stage=attributes: what is known of every product, by its manifest, by people's tables and by its pictures."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from skufp.artifacts.folder import write_json
from skufp.artifacts.products import Product, read_products
from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.config import plain
from skufp.errors import UserError
from skufp.stages.attributes_report import Reading, print_report, report
from skufp.stages.progress import ProgressBar

if TYPE_CHECKING:
    from skufp.catalogue.evidence import Evidence, Pictures, PromptVectors, Teaching
    from skufp.catalogue.facts import Facts, Value
    from skufp.catalogue.overrides import Values
    from skufp.catalogue.vocabulary import Category, Vocabulary

VERSION = 1
FACTS, READERS, TABLE, REPORT = "facts.jsonl", "readers.json", "attributes.csv", "report.json"
LEARN = ("train", "dev")  # the splits whose labels calibrate; validation and test are for measuring
TABLES = ("probe", "overrides")


@dataclass
class Catalogue:
    """All products, and what is said of each, in their order; ``ids`` are unique among them."""

    products: list[Product]
    ids: list[str]
    categories: list["Category"] = field(default_factory=list)
    category_values: list["Value"] = field(default_factory=list)
    labels: list[dict[str, list[str]]] = field(default_factory=list)  # the manifest's, by attribute; the main one first
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)  # (column, text) that is no value
    overrides: "Values" = field(default_factory=dict)

    @property
    def learns(self) -> list[bool]:
        """Which products' labels calibrate."""
        return [product.split in LEARN for product in self.products]


def check(cfg: DictConfig) -> None:
    """Say what is wrong with the vocabulary before anything runs."""
    from skufp.catalogue.vocabulary import Vocabulary

    Vocabulary.of(plain(cfg.vocabulary))
    for name in ("precision", "threshold"):
        if not 0 <= cfg.vocabulary[name] <= 1:
            raise UserError(f"vocabulary.{name}={cfg.vocabulary[name]}: it is a share, from 0 to 1")
    for name in TABLES:
        if (path := cfg.vocabulary[name]) and not Path(path).is_file():
            raise UserError(
                f"vocabulary.{name}={path}: there is no such file (looked in {Path.cwd()}). It is a CSV with"
                f" the columns sku,attribute,value; {TABLE} of stage=attributes has them too, to be corrected"
            )


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write facts.jsonl, readers.json, report.json and attributes.csv, which can be corrected and given back."""
    from skufp.catalogue.evidence import accepted, category_evidence, gather
    from skufp.catalogue.vocabulary import Vocabulary
    from skufp.stages.device import set_threads

    set_threads(cfg)
    vocabulary = Vocabulary.of(plain(cfg.vocabulary))
    products = read_products(inputs["prepare"])
    catalogue = Catalogue(products, product_ids(products))
    prompts = prompt_vectors(cfg, vocabulary, inputs["retriever"])
    pictures = load_pictures(cfg, vocabulary, inputs, products)
    readings = [categorise(cfg, vocabulary, catalogue, category_evidence(prompts, pictures))]
    label(catalogue, vocabulary)
    given = people_s_table(cfg.vocabulary.probe, vocabulary, catalogue)
    evidence = gather(prompts, pictures, catalogue.categories)
    readings += [read(cfg, catalogue, evidence[key], given) for key in vocabulary.attributes if key in evidence]
    seen: list[dict[str, Value | None]] = [{} for _ in products]
    for reading in readings[1:]:
        for row, value in accepted(reading.evidence, reading.reader, reading.log_probabilities).items():
            seen[row][reading.evidence.attribute.name] = value
    facts = settle_all(catalogue, seen)
    write_facts(out / FACTS, products, facts)
    write_table(out / TABLE, facts)
    write_json(out / READERS, {r.evidence.attribute.key: r.reader.to_dict() for r in readings})
    write_json(out / REPORT, report(cfg, vocabulary, catalogue, readings, facts))


def product_ids(products: list[Product]) -> list[str]:
    """Return an id for each product, unique: the manifest's column sku, else its sku_id, else that with its split."""
    for ids in ([p.fields.get("sku", "") for p in products], [p.sku_id for p in products]):
        if all(ids) and len(set(ids)) == len(ids):
            return ids
    return [f"{p.split}/{p.sku_id}" for p in products]


def prompt_vectors(cfg: DictConfig, vocabulary: "Vocabulary", retriever: Path) -> "PromptVectors":
    """Return what encodes the vocabulary's prompts with the retriever's text tower."""
    from skufp.catalogue.evidence import PromptVectors
    from skufp.modules.encoder_folder import load_encoder
    from skufp.stages.device import device

    return PromptVectors(vocabulary, encoding_with(cfg, load_encoder(retriever / "encoder").to(device(cfg))))


def encoding_with(cfg: DictConfig, encoder: Any) -> "Callable[[list[str]], np.ndarray]":
    """Return what maps texts to their vectors [P, D]."""
    import torch

    from skufp.stages.device import autocast

    def encode(texts: list[str]) -> np.ndarray:
        with torch.inference_mode(), autocast(cfg):
            size = int(cfg.model.batch_size)
            parts = [encoder.encode_text(texts[i : i + size]).float().cpu() for i in range(0, len(texts), size)]
        return np.concatenate([part.numpy() for part in parts])

    return encode


def load_pictures(
    cfg: DictConfig, vocabulary: "Vocabulary", inputs: dict[str, Path], products: list[Product]
) -> "Pictures":
    """Return the real catalogue views of all products, with the colours of their pixels."""
    from skufp.catalogue.evidence import Pictures

    table = VectorTable.load(inputs["embed"]).where(domain=CATALOG)
    table = table.take(np.flatnonzero(~table.column("generated").astype(bool)))
    number = {product.sku: i for i, product in enumerate(products)}
    of_view = np.array([number[key] for key in table.sku_keys()], np.int64)
    record_of = {(r.split, r.view_id): r for r in all_records(inputs["prepare"])}
    keys = zip(table.rows["split"].to_pylist(), table.rows["view_id"].to_pylist(), strict=True)
    shares = colours_of(cfg, vocabulary, inputs["prepare"], [record_of[key] for key in keys])
    return Pictures(np.asarray(table.vectors), of_view, len(products), shares)


def all_records(prepared: Path) -> list[CropRecord]:
    """Return the records of all splits."""
    return [r for path in sorted(prepared.glob("*_image_text.jsonl")) for r in read_records(path)]


def colours_of(
    cfg: DictConfig, vocabulary: "Vocabulary", prepared: Path, records: list[CropRecord]
) -> np.ndarray | None:
    """Return the shares of colours [R, K] in the pictures of ``records``; None where the vocabulary has no colours."""
    from PIL import Image

    from skufp.catalogue.colour import colour_shares
    from skufp.catalogue.evidence import COLOUR
    from skufp.data.crops import open_image

    if (colour := vocabulary.attributes.get(COLOUR)) is None or not any(t.rgb for t in colour.terms.values()):
        return None
    shares = []
    with ProgressBar(cfg, "reading colours", len(records)) as advance:
        for record in records:
            mask = np.asarray(Image.open(prepared / record.mask_path).convert("L")) if record.mask_path else None
            shares.append(colour_shares(np.asarray(open_image(prepared / record.image_path)), colour, mask))
            advance(1)
    return np.stack(shares)


def categorise(cfg: DictConfig, vocabulary: "Vocabulary", catalogue: Catalogue, evidence: "Evidence") -> Reading:
    """Give every product its category (an override, the manifest's, what its pictures say) and read the overrides."""
    from skufp.catalogue.evidence import choose_category, fit_reader
    from skufp.catalogue.facts import MANIFEST, OVERRIDE, Value

    named = [_named(vocabulary, product) for product in catalogue.products]
    labels = [c if learns else None for c, learns in zip(named, catalogue.learns, strict=True)]
    groups = [_pair(product) for product in catalogue.products]
    reader, log_probabilities = fit_reader(evidence, _askable(labels, evidence), groups, teaching(cfg))
    seen = choose_category(vocabulary, evidence, reader, log_probabilities)
    found = [Value(name, 1.0, MANIFEST) if name else value for name, value in zip(named, seen, strict=True)]
    catalogue.categories = [vocabulary.categories[value.value] for value in found]
    catalogue.category_values = found
    catalogue.overrides = people_s_table(cfg.vocabulary.overrides, vocabulary, catalogue)
    for row, sku in enumerate(catalogue.ids):
        if other := catalogue.overrides.get(sku, {}).get("category"):
            catalogue.categories[row] = vocabulary.categories[other]
            catalogue.category_values[row] = Value(other, 1.0, OVERRIDE)
    return Reading(evidence, reader, log_probabilities, [[name] if name else [] for name in _askable(named, evidence)])


def _named(vocabulary: "Vocabulary", product: Product) -> str | None:
    """The category that the manifest names, by its own column or by the source's category."""
    labels = (product.fields.get("category", ""), product.category_name)
    return next((found[0].name for label in labels if label and (found := vocabulary.resolve(label))), None)


def _askable(names: "list[str | None]", evidence: "Evidence") -> list[str | None]:
    return [name if name in evidence.attribute.values else None for name in names]


def people_s_table(path: str | None, vocabulary: "Vocabulary", catalogue: Catalogue) -> "Values":
    """Read a table sku,attribute,value that people wrote; {} where there is none."""
    from skufp.catalogue.overrides import read_values

    names = [category.name for category in catalogue.categories]
    return read_values(Path(path), vocabulary, dict(zip(catalogue.ids, names, strict=True))) if path else {}


def label(catalogue: Catalogue, vocabulary: "Vocabulary") -> None:
    """Find the values that each product's manifest names, in columns or in the name of its category."""
    from skufp.catalogue.attributes import manifest_labels

    for product, category in zip(catalogue.products, catalogue.categories, strict=True):
        found, unknown = manifest_labels(product.fields, category)
        for name in (product.category_name, product.fields.get("category", "")):
            said = vocabulary.resolve(name) if name else None
            if said and said[0] == category:
                found = {attribute: [value] for attribute, value in said[1].items()} | found
        catalogue.labels.append(found)
        catalogue.unknown.update(unknown.items())


def read(cfg: DictConfig, catalogue: Catalogue, evidence: "Evidence", given: "Values") -> Reading:
    """Fit an attribute's reader, to people's labels where they gave some, and read all products that may have it."""
    from skufp.catalogue.evidence import fit_reader, labels_of

    name, rows = evidence.attribute.name, evidence.rows
    labels = [catalogue.labels[row].get(name, []) for row in rows]
    learnt = labels_of(given, [catalogue.ids[row] for row in rows], name)
    must_probe = any(learnt)
    if not must_probe:
        learnt = [own[0] if own and catalogue.learns[row] else None for own, row in zip(labels, rows, strict=True)]
    groups = [_pair(catalogue.products[row]) for row in rows]
    reader, log_probabilities = fit_reader(evidence, learnt, groups, teaching(cfg), must_probe)
    return Reading(evidence, reader, log_probabilities, labels)


def teaching(cfg: DictConfig) -> "Teaching":
    """Return how readers are fitted."""
    from skufp.catalogue.evidence import Teaching

    return Teaching(cfg.vocabulary.precision, cfg.vocabulary.threshold, cfg.model.zero_shot)


def _pair(product: Product) -> str:
    """What siblings share: the manifest's style, else the pair of a DeepFashion2 id, else the SKU itself."""
    return f"{product.split} {product.fields.get('style') or product.sku_id.split('_')[0]}"


def settle_all(catalogue: Catalogue, seen: "list[dict[str, Value | None]]") -> "list[Facts]":
    """Return every product's facts: an override wins over the manifest, and that over the pictures."""
    from skufp.catalogue.attributes import settle
    from skufp.catalogue.facts import MANIFEST, Facts, Value

    facts = []
    for row, product in enumerate(catalogue.products):
        manifest = {name: Value(values[0], 1.0, MANIFEST) for name, values in catalogue.labels[row].items()}
        people_s = {k: v for k, v in catalogue.overrides.get(catalogue.ids[row], {}).items() if k != "category"}
        attributes = settle(seen[row], manifest, people_s)
        names = [name for name in catalogue.categories[row].attributes if name in attributes]
        ordered = {name: attributes[name] for name in names}
        category = catalogue.category_values[row]
        title = {"title": name} if (name := product.fields.get("name")) else {}
        facts.append(Facts(catalogue.ids[row], category.value, ordered, title | product.fields, category))
    return facts


def write_facts(path: Path, products: list[Product], facts: "list[Facts]") -> None:
    """Write facts.jsonl: one product a line, with its split and sku_id."""
    rows: list[dict[str, Any]] = [
        {"split": p.split, "of": p.sku_id} | f.to_dict() for p, f in zip(products, facts, strict=True)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_facts(folder: Path) -> "dict[tuple[str, str], Facts]":
    """Return the facts of every product in a folder of this stage, by (split, sku_id)."""
    from skufp.catalogue.facts import Facts

    rows = [json.loads(line) for line in (folder / FACTS).read_text(encoding="utf-8").splitlines()]
    return {(row["split"], row["of"]): Facts.from_dict(row) for row in rows}


def write_table(path: Path, facts: "list[Facts]") -> None:
    """Write attributes.csv: sku, attribute, value, and what each rests on; safe to open in a spreadsheet."""
    from skufp.catalogue.exports.cells import Table

    table = Table(("sku", "attribute", "value", "confidence", "source"), "sku")
    for product in facts:
        for name, value in ({"category": product.category_value} | product.attributes).items():
            if value is not None:
                row = {"sku": product.sku_id, "attribute": name, "value": value.value, "source": value.source}
                table.add(row | {"confidence": f"{value.confidence:.2f}"})
    table.write(path)


def show(cfg: DictConfig, folder: Path, console: Console) -> None:
    """Print what each attribute's evidence is worth, and how complete the products are."""
    print_report(folder / REPORT, console)
    console.print(f"attributes: {folder / TABLE} (to correct: vocabulary.overrides=<a CSV sku,attribute,value>)")
