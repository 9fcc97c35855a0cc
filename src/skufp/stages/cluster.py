"""stage=cluster: product groups by fingerprint, each with a name and a picture; JSON, CSV and one HTML page."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.products import Product, read_products
from skufp.artifacts.records import CATALOG, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.retrieval.clusters import Clustering

VERSION = 1
CATEGORY, TITLE = "category", "title"
LABELS = ("category", "style", "colour")  # labels to compare clusters with, where known
COLUMNS = ("cluster", "name", "split", "sku", "category", "cosine")


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write clusters.json, clusters.csv (SKU to cluster), clusters.html, and a picture of each in pictures/."""
    from skufp.compute.device import set_threads
    from skufp.reports.clusters import write_page, write_pictures
    from skufp.retrieval.clusters import agreement, find_clusters

    set_threads(cfg)
    spec = cfg.stages.cluster
    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    gallery = table.where(split=list(cfg.data.gallery))
    if not 1 <= (spec.clusters or 1) <= len(gallery):
        raise UserError(
            f"stages.cluster.clusters={spec.clusters}: there are {len(gallery)} products in {list(cfg.data.gallery)}"
            " (data.gallery). Ask for fewer groups, or for null"
        )
    found = find_clusters(np.asarray(gallery.vectors), spec.clusters, spec.most, spec.seed)
    products = {product.sku: product for product in read_products(inputs["prepare"])}
    rows = [products[key] for key in gallery.sku_keys()]
    truth = known_labels(gallery, rows)
    matches = {name: agreement(found.labels, truth[name], spec.seed) for name in LABELS}
    result: dict[str, Any] = {
        "products": len(gallery), "gallery": list(cfg.data.gallery), "chosen_by": "silhouette" if spec.clusters is None
        else "setting", "silhouettes": {str(k): value for k, value in found.silhouettes.items()},
        "agreement": {name: asdict(match) for name, match in matches.items() if match},
        "clusters": describe(found, rows, list(spec.words), list(spec.titles)),
    }  # fmt: skip
    photos = first_crops(inputs["prepare"], list(cfg.data.gallery))
    shown = [[photos[rows[int(row)].sku] for row in cluster.rows[: spec.shown]] for cluster in found.clusters]
    for cluster, picture in zip(result["clusters"], write_pictures(out, shown), strict=True):
        cluster["picture"] = picture
    write_json(out / "clusters.json", result)
    write_csv(out / "clusters.csv", result["clusters"])
    title = f"{cfg.data.label} · {cfg.model.name} · {cfg.aggregator.name}"
    write_page(out / "clusters.html", title, result, shown)


def known_labels(gallery: VectorTable, rows: list[Product]) -> dict[str, list[Any]]:
    """Return each SKU's category, style (pair ids restart in every split) and colour; None where unknown."""
    pairs = zip(gallery.rows["split"].to_pylist(), gallery.rows["pair_id"].to_pylist(), strict=True)
    return {
        "category": [category_of(row) or None for row in rows],
        "style": list(pairs),
        "colour": [next(iter(_values(row, "colour") or _values(row, "color")), None) for row in rows],
    }


def category_of(product: Product) -> str:
    """Return a product's category: by its labels, or by the catalogue's own column."""
    return (product.category_name or product.fields.get(CATEGORY, "")).casefold()


def describe(found: "Clustering", rows: list[Product], words: list[str], titles: list[str]) -> list[dict[str, Any]]:
    """Return for every cluster its number, name, size, medoid, over-represented values and SKUs, typical ones first."""
    from skufp.retrieval.cluster_names import names, traits

    products = [product_words(row, words, titles) for row in rows]
    named = names(found.labels, products, words, CATEGORY, [TITLE])
    typical = traits(found.labels, products, [CATEGORY, *words, TITLE])
    return [
        {
            "cluster": number, "name": named[number - 1], "size": len(cluster.rows),
            "medoid": {"split": rows[cluster.medoid].split, "sku_id": rows[cluster.medoid].sku_id},
            "mean_cosine": float(cluster.cosines.mean()),
            "traits": [asdict(trait) for trait in typical[number - 1]],
            "skus": [
                {"split": rows[row].split, "sku_id": rows[row].sku_id, "category": category_of(rows[row]), "cosine": c}
                for row, c in zip(cluster.rows.tolist(), cluster.cosines.tolist(), strict=True)
            ],
        }
        for number, cluster in enumerate(found.clusters, 1)
    ]  # fmt: skip


def product_words(product: Product, words: list[str], titles: list[str]) -> dict[str, list[str]]:
    """Return a product's values by field, in lower case; the words of all title columns are one field."""
    title = " ".join(text for name in titles for text in _values(product, name))
    found = {name: values for name in words if (values := _values(product, name))}
    category = [category_of(product)] if category_of(product) else []
    return found | {CATEGORY: category, TITLE: re.findall(r"[^\W\d_]{3,}", title)}


def _values(product: Product, name: str) -> list[str]:
    """Return the values of a column that may hold several; the column's name matches in any case."""
    text = next((value for key, value in product.fields.items() if key.casefold() == name), "")
    return [value for each in text.split(",") if (value := each.strip().casefold())]


def first_crops(prepared: Path, splits: list[str]) -> dict[tuple[str, str], Path]:
    """Return for every SKU its first catalogue view."""
    found: dict[tuple[str, str], Path] = {}
    for split in splits:
        path = prepared / f"{split}_image_text.jsonl"
        records = [r for r in read_records(path) if r.domain == CATALOG] if path.exists() else []
        for record in sorted(records, key=lambda r: r.view_id):
            found.setdefault(record.sku, prepared / record.image_path)
    return found


def write_csv(path: Path, clusters: list[dict[str, Any]]) -> None:
    """Write a row for every SKU, in the order of the clusters; no cell is a formula to a spreadsheet."""
    from skufp.catalogue.exports.cells import Table as Cells

    cells = Cells(COLUMNS, identity="sku")
    for cluster in clusters:
        for sku in cluster["skus"]:
            cells.add({
                "cluster": str(cluster["cluster"]), "name": cluster["name"], "split": sku["split"],
                "sku": sku["sku_id"], "category": sku["category"], "cosine": f"{sku['cosine']:.4f}",
            })  # fmt: skip
    cells.write(path)


def check(cfg: Config) -> None:
    """Say what is wrong with the settings before anything runs."""
    spec = cfg.stages.cluster
    for name, least in (("clusters", 1), ("most", 2), ("shown", 1)):
        value = spec[name]
        if not (name == "clusters" and value is None) and (not isinstance(value, int) or value < least):
            raise UserError(f"stages.cluster.{name}={value}: give a whole number of at least {least}")


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print a row for every cluster, and how well they agree with labels."""
    result = read_json(folder / "clusters.json")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("", "products", "cosine"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("name", "in its middle", "more of"):
        table.add_column(heading, overflow="fold")
    for cluster in result["clusters"]:
        more = ", ".join(f"{t['value']} {t['share']:.0%}" for t in cluster["traits"][:3])
        numbers = (str(cluster["cluster"]), str(cluster["size"]), f"{cluster['mean_cosine']:.2f}")
        table.add_row(*numbers, *(cluster["name"], cluster["medoid"]["sku_id"], more))
    console.print(table)
    for name, match in result["agreement"].items():
        console.print(
            f"{name}: purity {match['purity']:.2f} (by chance {match['purity_by_chance']:.2f}), mutual information"
            f" {match['nmi']:.2f} (by chance {match['nmi_by_chance']:.2f})", soft_wrap=True,
        )  # fmt: skip
    for name in ("clusters.html", "clusters.csv", "clusters.json"):
        console.print(str(folder / name), soft_wrap=True)


def lay_out(cfg: Config, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
    """Copy the page, the tables and the pictures to ``target``."""
    import shutil

    shutil.copytree(folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
    console.print(f"laid out in {target}", soft_wrap=True)
