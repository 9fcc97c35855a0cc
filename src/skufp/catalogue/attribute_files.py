"""The files of stage=attributes, and their readers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from skufp.artifacts.products import Product
from skufp.config import plain
from skufp.errors import UserError
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.catalogue.facts import Facts
    from skufp.catalogue.vocabulary import Vocabulary

FACTS, READERS, TABLE, REPORT = "facts.jsonl", "readers.json", "attributes.csv", "report.json"


def load_vocabulary(cfg: Config) -> "Vocabulary":
    """Read the vocabulary's lists as read_lists does; UserError with the file or the place of a mistake."""
    from skufp.catalogue.vocabulary import Vocabulary

    return Vocabulary.of(read_lists(cfg))


def read_lists(cfg: Config) -> dict[str, Any]:
    """Return the vocabulary's lists as plain dictionaries, later files over earlier ones."""
    paths = [*cfg.vocabulary.lists, *([cfg.vocabulary.extend] if cfg.vocabulary.extend else [])]
    read = []
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"vocabulary.extend={path}: there is no such file (looked in {Path.cwd()})")
        try:
            read.append(OmegaConf.load(path))
        except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    lists: dict[str, Any] = plain(OmegaConf.merge(*read))
    return lists


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
    """Write attributes.csv: sku, attribute, value, confidence and source; safe to open in a spreadsheet."""
    from skufp.catalogue.exports.cells import Table

    table = Table(("sku", "attribute", "value", "confidence", "source"), "sku")
    for product in facts:
        for name, value in ({"category": product.category_value} | product.attributes).items():
            if value is not None:
                row = {"sku": product.sku_id, "attribute": name, "value": value.value, "source": value.source}
                table.add(row | {"confidence": f"{value.confidence:.2f}"})
    table.write(path)
