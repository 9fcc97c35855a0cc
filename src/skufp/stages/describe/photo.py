"""stage=describe --image photo.jpg: a photo is one product, described by its pixels and its neighbours in the index."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.folder import read_json, write_json
from skufp.catalogue.attribute_files import READERS, load_vocabulary, read_facts
from skufp.catalogue.pictures import encoding_with
from skufp.config import plain
from skufp.data.query_photos import open_photos
from skufp.reports.catalogue.cards import PAGE, PHOTO, Card, tile, write_cards
from skufp.schema import Config
from skufp.stages.attributes import teaching

if TYPE_CHECKING:
    from skufp.catalogue.attributes import Reader
    from skufp.catalogue.evidence import PromptVectors
    from skufp.catalogue.facts import Facts

FILE = "photos.json"


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write photos.json and cards.html: a product for each photo of query.image."""
    from skufp.catalogue.described import Described
    from skufp.catalogue.evidence import PromptVectors
    from skufp.catalogue.llm import open_writer
    from skufp.compute.device import set_threads
    from skufp.serve.bundle import open_bundle

    set_threads(cfg)
    engine = open_bundle(inputs["bundle"]).engine
    known = read_facts(inputs["attributes"])
    photos, readers = open_photos(cfg), careful_readers(cfg, inputs["attributes"])
    prompts = PromptVectors(load_vocabulary(cfg), encoding_with(cfg, engine.encoder))
    found, cards = [], []
    with open_writer(plain(cfg.llm)) as writer:
        for path, photo in zip(cfg.query.image, photos, strict=True):
            vector = engine.embed_photo(photo)
            facts = see(cfg, prompts, readers, Path(path).stem, vector, np.asarray(photo))
            written = writer.write(facts)
            hits = engine.search(vector, cfg.query.top_k)
            ids = [known[hit.split, hit.sku_id].sku_id for hit in hits]
            similar = [{"sku_id": sku, "score": round(h.score, 4)} for sku, h in zip(ids, hits, strict=True)]
            product = Described(facts, written.copy, written.written_by, similar, [str(path)], notes=written.notes)
            found.append(product.to_dict())
            tiles = [
                (tile(inputs["prepare"] / h.view.image_path), sku, h.score) for sku, h in zip(ids, hits, strict=True)
            ]
            cards.append(Card(product, tile(Path(path), PHOTO), {"similar": tiles}))
    write_json(out / FILE, found)
    write_cards(out, ", ".join(Path(path).name for path in cfg.query.image), cards)


def careful_readers(cfg: Config, folder: Path) -> "dict[str, Reader]":
    """Return the readers of stage=attributes, with thresholds at least as high as those without labels.

    Readers are calibrated on catalogue views, and the photo need not show a catalogued product.
    """
    from skufp.catalogue.attributes import Reader

    least = float(cfg.vocabulary.threshold)
    readers = {key: Reader.from_dict(row) for key, row in read_json(folder / READERS).items()}
    return {key: replace(reader, threshold=max(reader.threshold, least)) for key, reader in readers.items()}


def see(
    cfg: Config,
    prompts: "PromptVectors",
    readers: "dict[str, Reader]",
    name: str,
    vector: np.ndarray,
    photo: np.ndarray,
) -> "Facts":
    """Return the facts that the readers accept for one photo, RGB [H, W, 3] with its vector [D]."""
    from skufp.catalogue.colour import colour_shares
    from skufp.catalogue.evidence import COLOUR, Pictures, accepted, category_evidence, choose_category, gather
    from skufp.catalogue.facts import Facts
    from skufp.catalogue.vocabulary import CATEGORY

    vocabulary = prompts.vocabulary
    colour = vocabulary.attributes.get(COLOUR)
    shares = colour_shares(photo, colour)[None] if colour else None
    pictures = Pictures(vector[None], np.zeros(1, np.int64), 1, shares)
    asked = category_evidence(prompts, pictures)
    category = choose_category(vocabulary, asked, readers[CATEGORY], asked.read(readers[CATEGORY]))[0]
    attributes = {}
    for key, evidence in gather(prompts, pictures, [vocabulary.categories[category.value]]).items():
        reader = readers.get(key) or teaching(cfg).untaught(evidence)
        value = accepted(evidence, reader, evidence.read(reader))[0]
        if value is not None:
            attributes[evidence.attribute.name] = value
    return Facts(name, category.value, attributes, {}, category)


def show(folder: Path, console: Console) -> None:
    """Print a table for each photo."""
    for row in read_json(folder / FILE):
        facts, copy = row["facts"], row["copy"]
        table = Table(title=f"{row['images'][0]}: {copy['title']}", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("", style="bold")
        table.add_column("", overflow="fold")
        table.add_column("", justify="right", style="dim")
        said = {"category": facts["category_value"]} | facts["attributes"]
        for name, value in said.items():
            table.add_row(name, value["value"], f"{value['confidence']:.0%} {value['source']}")
        for name, value in copy.items():
            text = (
                "\n".join(value) if name == "bullet_points" else ", ".join(value) if isinstance(value, list) else value
            )
            table.add_row(name.replace("_", " "), text, row["written_by"].get(name, ""))
        similar = [f"{hit['sku_id']} ({hit['score']:.3f})" for hit in row["similar"]]
        table.add_row("similar", "\n".join(similar), "")
        console.print(table)
    console.print(f"{folder / PAGE}\n{folder / FILE}", soft_wrap=True)
