"""stage=attributes: every product's facts, from its manifest, tables written by people, and its pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from skufp.artifacts.folder import write_json
from skufp.artifacts.products import Product, read_products
from skufp.catalogue.attribute_files import FACTS, READERS, REPORT, TABLE, load_vocabulary, write_facts, write_table
from skufp.catalogue.pictures import load_pictures, prompt_vectors
from skufp.catalogue.readings import Catalogue, Reading
from skufp.errors import UserError
from skufp.reports.catalogue.attributes import print_report, report
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.catalogue.attributes import Reader
    from skufp.catalogue.evidence import Evidence, Teaching
    from skufp.catalogue.facts import Facts, Value
    from skufp.catalogue.overrides import Values
    from skufp.catalogue.vocabulary import Vocabulary

VERSION = 1
TABLES = ("probe", "overrides")


def check(cfg: Config) -> None:
    """Raise UserError for an invalid vocabulary before anything runs."""
    load_vocabulary(cfg)
    for name in ("precision", "threshold"):
        if not 0 <= cfg.vocabulary[name] <= 1:
            raise UserError(f"vocabulary.{name}={cfg.vocabulary[name]}: it is a share, from 0 to 1")
    for name in TABLES:
        if (path := cfg.vocabulary[name]) and not Path(path).is_file():
            raise UserError(
                f"vocabulary.{name}={path}: there is no such file (looked in {Path.cwd()}). It is a CSV with"
                f" the columns sku,attribute,value; {TABLE} of stage=attributes has them too, to be corrected"
            )


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write facts.jsonl, readers.json, report.json and attributes.csv, which people may correct and return."""
    from skufp.catalogue.evidence import accepted, category_evidence, gather
    from skufp.compute.device import set_threads

    set_threads(cfg)
    vocabulary = load_vocabulary(cfg)
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


def categorise(cfg: Config, vocabulary: "Vocabulary", catalogue: Catalogue, evidence: "Evidence") -> Reading:
    """Set every product's category (by override, manifest or pictures) and read the overrides."""
    from skufp.catalogue.evidence import fit_reader, labels_of
    from skufp.catalogue.facts import OVERRIDE, Value
    from skufp.catalogue.vocabulary import CATEGORY

    named = [_named(vocabulary, product) for product in catalogue.products]
    labels = [c if learns else None for c, learns in zip(named, catalogue.learns, strict=True)]
    groups = [_pair(product) for product in catalogue.products]
    reader, log_probabilities = fit_reader(evidence, _askable(labels, evidence), groups, teaching(cfg))
    _settle_categories(vocabulary, catalogue, evidence, reader, log_probabilities, named)
    given = labels_of(people_s_table(cfg.vocabulary.probe, vocabulary, catalogue), catalogue.ids, CATEGORY)
    if any(given):
        reader, log_probabilities = fit_reader(
            evidence, _askable(given, evidence), groups, teaching(cfg), must_probe=True
        )
        _settle_categories(vocabulary, catalogue, evidence, reader, log_probabilities, named)
    catalogue.overrides = people_s_table(cfg.vocabulary.overrides, vocabulary, catalogue)
    for row, sku in enumerate(catalogue.ids):
        if other := catalogue.overrides.get(sku, {}).get(CATEGORY):
            catalogue.categories[row] = vocabulary.categories[other]
            catalogue.category_values[row] = Value(other, 1.0, OVERRIDE)
    return Reading(evidence, reader, log_probabilities, [[name] if name else [] for name in _askable(named, evidence)])


def _settle_categories(
    vocabulary: "Vocabulary",
    catalogue: Catalogue,
    evidence: "Evidence",
    reader: "Reader",
    log_probabilities: np.ndarray,
    named: list[str | None],
) -> None:
    """Set each category to the manifest's if it names one, else to the pictures'."""
    from skufp.catalogue.evidence import choose_category
    from skufp.catalogue.facts import MANIFEST, Value

    seen = choose_category(vocabulary, evidence, reader, log_probabilities)
    found = [Value(name, 1.0, MANIFEST) if name else value for name, value in zip(named, seen, strict=True)]
    catalogue.categories, catalogue.category_values = [vocabulary.categories[v.value] for v in found], found


def _named(vocabulary: "Vocabulary", product: Product) -> str | None:
    """Return the category that the manifest names, by its own column or by the source's category."""
    labels = (product.fields.get("category", ""), product.category_name)
    return next((found[0].name for label in labels if label and (found := vocabulary.resolve(label))), None)


def _askable(names: "list[str | None]", evidence: "Evidence") -> list[str | None]:
    return [name if name in evidence.attribute.values else None for name in names]


def people_s_table(path: str | None, vocabulary: "Vocabulary", catalogue: Catalogue) -> "Values":
    """Read a table sku,attribute,value written by people; {} if there is none."""
    from skufp.catalogue.overrides import read_values

    names = [category.name for category in catalogue.categories]
    return read_values(Path(path), vocabulary, dict(zip(catalogue.ids, names, strict=True))) if path else {}


def label(catalogue: Catalogue, vocabulary: "Vocabulary") -> None:
    """Find the values in each product's manifest, in columns or implied by the name of its category."""
    from skufp.catalogue.attributes import manifest_labels

    for product, category in zip(catalogue.products, catalogue.categories, strict=True):
        found, unknown = manifest_labels(product.fields, category)
        for name in (product.category_name, product.fields.get("category", "")):
            resolved = vocabulary.resolve(name) if name else None
            if resolved and resolved[0] == category:
                found = {attribute: [value] for attribute, value in resolved[1].items()} | found
        catalogue.labels.append(found)
        catalogue.unknown.update(unknown.items())


def read(cfg: Config, catalogue: Catalogue, evidence: "Evidence", given: "Values") -> Reading:
    """Fit an attribute's reader, on people's labels if there are any, and read all products that may have it."""
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


def teaching(cfg: Config) -> "Teaching":
    """Return the settings for fitting readers."""
    from skufp.catalogue.evidence import Teaching

    return Teaching(cfg.vocabulary.precision, cfg.vocabulary.threshold, cfg.model.zero_shot)


def _pair(product: Product) -> str:
    """Return the siblings' common key: the manifest's style, else the pair of a DeepFashion2 id, else the SKU."""
    return f"{product.split} {product.fields.get('style') or product.sku_id.split('_')[0]}"


def settle_all(catalogue: Catalogue, seen: "list[dict[str, Value | None]]") -> "list[Facts]":
    """Return every product's facts: by an override, else the manifest, else the pictures."""
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


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print each attribute's scores, and the completeness of the products."""
    print_report(folder / REPORT, console)
    console.print(f"attributes: {folder / TABLE} (to correct: vocabulary.overrides=<a CSV sku,attribute,value>)")
