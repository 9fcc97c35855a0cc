"""stage=bundle: everything that a search, or a later change, needs, in one folder that opens without the runs."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import ListConfig
from rich.console import Console

from skufp.artifacts.part_list import PartList
from skufp.compute.progress import ProgressBar
from skufp.errors import UserError, nearest
from skufp.schema import Config
from skufp.schema.policy import FIXED

VERSION = 2


def check(cfg: Config) -> None:
    """Raise UserError for invalid parts to leave out, policy or folder before anything runs."""
    from skufp.serve.parts import KINDS, NEEDED
    from skufp.stages.text_queries import load_synonyms

    load_synonyms(cfg)
    spec = cfg.stages.bundle
    if not isinstance(spec.leave_out, ListConfig):
        raise UserError(f"stages.bundle.leave_out={spec.leave_out} is no list: write leave_out=[thumbnails]")
    if not isinstance(spec.attributes, bool):
        raise UserError(f"stages.bundle.attributes={spec.attributes}: choose true or false")
    for name in spec.leave_out:
        if name in NEEDED:
            raise UserError(f"stages.bundle.leave_out: without '{name}' a bundle answers nothing")
        if name not in KINDS:
            raise UserError(f"stages.bundle.leave_out: there is no part '{name}'.{nearest(str(name), KINDS)}")
    if cfg.stage == "bundle":
        check_export(cfg)


def check_export(cfg: Config) -> None:
    """Raise UserError for a fixed action, which only stage=search tries, and for a folder that is not a bundle's."""
    from skufp.serve.copying import check_target

    if cfg.policy.name == FIXED:
        raise UserError(
            "policy=fixed tries an action in stage=search; a bundle holds the learnt policy. Write policy=default, or"
            " policy=none for a bundle without one"
        )
    if cfg.export_to:
        check_target(Path(cfg.export_to), cfg.data.root)


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write bundle.json and a folder for each part."""
    from skufp.serve.assembly import assemble

    def progress(count: int) -> ProgressBar:
        return ProgressBar(cfg, "making thumbnails", count)

    assemble(sources(cfg, inputs), out, list(cfg.stages.bundle.leave_out), progress)


def sources(cfg: Config, inputs: dict[str, Path]) -> Any:
    """Return the inputs of the bundle."""
    from skufp.catalogue.attribute_files import read_facts, read_lists
    from skufp.serve.assembly import Sources
    from skufp.stages.index import first_photos
    from skufp.stages.text_queries import choose_word_weight, load_synonyms

    gallery = list(cfg.data.gallery)
    known: dict[str, Any] = {}
    if "attributes" in inputs:
        known = {"facts": read_facts(inputs["attributes"]), "vocabulary": read_lists(cfg)}
    known["synonyms"] = load_synonyms(cfg)
    known["word_weight"] = choose_word_weight(cfg, inputs, known["synonyms"]).value
    known["knows_words"] = bool(cfg.stages.bundle.pretrained) or has_learnt_words(cfg, inputs)
    return Sources(inputs, gallery, int(cfg.data.max_side), first_photos(inputs["prepare"], gallery), **known)


def has_learnt_words(cfg: Config, inputs: dict[str, Path]) -> bool:
    """Return whether the training photos of an encoder trained here have texts."""
    from skufp.data.captions import training_text

    rows = pq.read_table(inputs["embed"] / "rows.parquet", columns=["text", "rich_text"]).to_pylist()
    return any(training_text(row, cfg.data.text) for row in rows)


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the parts with their sizes, what is missing, and how to open the bundle."""
    from skufp.serve.parts import KINDS

    listed = PartList.read(folder)
    console.print(f"{listed.about['skus']:,} SKUs, {listed.about['views']:,} views", soft_wrap=True)
    for name, part in listed.parts.items():
        size = sum(file.size for file in part.files.values())
        console.print(f"  {name:<11} {size / 1e6:8.1f} MB  {KINDS[name].purpose}", soft_wrap=True)
    for name in (name for name in KINDS if name not in listed.parts):
        console.print(f"  {name:<11} is missing      {KINDS[name].command}", style="dim", soft_wrap=True)
    if not cfg.export_to:
        console.print(f"in Python: import skufp; skufp.open({str(folder)!r}).search(image='photo.jpg')", soft_wrap=True)


def lay_out(cfg: Config, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
    """Copy the bundle to ``target``."""
    from skufp.serve.copying import copy_bundle

    check_export(cfg)  # a finished stage is not checked
    copy_bundle(folder, target)
    console.print(f"laid out in {target}", soft_wrap=True)
    console.print(f"in Python: import skufp; skufp.open({str(target)!r}).search(image='photo.jpg')", soft_wrap=True)
