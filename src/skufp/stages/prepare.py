"""stage=prepare: a source's photos become crops, garment masks, captions, splits and shards."""

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.products import Product, write_products
from skufp.artifacts.records import CropRecord, Skipped, sku_metadata, write_records
from skufp.errors import UserError, nearest
from skufp.stages.progress import ProgressBar, worker_count

VERSION = 9
SPLITS = ("train", "validation", "test")
Fields = dict[tuple[str, str], dict[str, str]]  # by the source's split and sku_id


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write crops, masks, `<split>_{sku_metadata.json,image_text.jsonl}`, products.jsonl, shards/ and report.json."""
    from skufp.config import build
    from skufp.data import crops, splits

    source = build(cfg.data.source)
    workers = worker_count(cfg)
    source.open(out, workers)
    records, skipped, absent = read_splits(source, list(cfg.data.splits))
    if not records:
        raise UserError(
            f"data={cfg.data.name}: not one usable photo in {', '.join(cfg.data.splits)} ({_reasons(skipped)})"
        )
    splits.carve_dev(records, cfg.data.dev_share)
    read = list(records)
    tasks = crops.plan_crops(records, source.root)
    with ProgressBar(cfg, "cropping", len(tasks)) as advance:
        failed = crops.cut_all(tasks, out, cfg.data.margin, cfg.data.max_side, workers, advance)
    lost = {(s.split, s.file, s.item) for s in failed}
    records = [r for r in records if (r.split, r.orig_image_path, r.item_idx) not in lost]
    for r in records:
        if r.mask_path and not (out / r.mask_path).is_file():  # reported among the adjusted
            r.mask_path = ""
    records, unmatched = splits.drop_unmatched(records, cfg.data.only_pairs)
    if not records:
        raise UserError(
            f"data={cfg.data.name}: not one usable photo was left ({_reasons(skipped + failed + unmatched)})"
        )
    splits.assign_pools(records, cfg.data.held_out_share)
    fields = {(split, sku): own for split in cfg.data.splits for sku, own in source.fields(split).items()}
    products = describe_products(fields, records)
    write_products(out, products)
    add_rich_texts(records, products)
    _write(out, records, cfg.data.shard_size)
    found = report(records, skipped + failed + unmatched, absent, crops.adjusted(out))
    found["products_with_fields"] = sum(bool(product.fields) for product in products)
    found["products_with_rich_text"] = len({r.sku for r in records if r.rich_text})
    found["lost_products"] = lost_products(fields, read, products, failed + unmatched)
    write_json(out / "report.json", found)


def read_splits(source: object, names: list[str]) -> tuple[list[CropRecord], list[Skipped], dict[str, str]]:
    """Read the named splits; those that are missing or unlabelled are returned with the reason."""
    from skufp.data.sources import MissingSplitError

    records: list[CropRecord] = []
    skipped: list[Skipped] = []
    absent: dict[str, str] = {}
    for name in names:
        if name not in SPLITS:
            raise UserError(f"data.splits: there is no split '{name}'.{nearest(name, SPLITS)}")
        try:
            read, left_out = source.read(name)  # type: ignore[attr-defined]
        except MissingSplitError as error:
            absent[name] = str(error)
            continue
        if not read and not left_out:
            absent[name] = "it is empty"
        records += read
        skipped += left_out
    if len(absent) == len(names):
        raise UserError("none of the splits can be used: " + "; ".join(f"{n}: {why}" for n, why in absent.items()))
    for name, why in absent.items():
        Console(stderr=True).print(f"[yellow]warning:[/] split {name} is skipped: {why}")
    return records, skipped, absent


def describe_products(fields: Fields, records: list[CropRecord]) -> list[Product]:
    """Return every SKU that is left, with what the source says of it in words."""
    names = {r.sku: r.category_name for r in records}
    return [Product(*sku, names[sku], fields.get((source_split(sku[0]), sku[1]), {})) for sku in sorted(names)]


def lost_products(
    fields: Fields, read: list[CropRecord], products: list[Product], lost: list[Skipped]
) -> list[dict[str, str]]:
    """Return the SKUs that the source names and no photo is left of, each with the reason of its first lost photo.

    ``split`` is the source's, ``id`` the SKU's own (the manifest's column sku), else its sku_id, with its split where
    splits share ids.
    """
    reason = {(s.split, s.file, s.item): f"{s.reason}: {s.file}" for s in reversed(lost)}
    why = dict.fromkeys(fields, "no photo that can be used")
    for r in reversed(read):
        photo = (r.split, r.orig_image_path, r.item_idx)
        why[source_split(r.split), r.sku_id] = reason.get(photo, "no photo that can be used")
    left = {(source_split(product.split), product.sku_id) for product in products}
    shared = len({sku_id for _, sku_id in why}) < len(why)
    own = {sku: fields.get(sku, {}).get("sku") or ("/".join(sku) if shared else sku[1]) for sku in why}
    return [{"split": sku[0], "id": own[sku], "reason": why[sku]} for sku in sorted(set(why) - left)]


def source_split(split: str) -> str:
    """Return the source's own split: dev is carved out of its train."""
    return "train" if split == "dev" else split


def add_rich_texts(records: list[CropRecord], products: list[Product]) -> None:
    """Give every photo of a SKU, query or not, the caption that the SKU's fields make; "" where they make none."""
    from skufp.data.captions import rich_caption

    said = {p.sku: rich_caption(p.category_name, p.fields) for p in products}
    for r in records:
        r.rich_text = said[r.sku]


def _write(out: Path, records: list[CropRecord], shard_size: int) -> None:
    from skufp.data import shards

    records.sort(key=lambda r: (r.split, r.domain, r.pair_id, r.sku_id, r.view_id))
    for split in sorted({r.split for r in records}):
        rows = [r for r in records if r.split == split]
        write_records(out / f"{split}_image_text.jsonl", rows)
        write_json(out / f"{split}_sku_metadata.json", sku_metadata(rows))
    if (out / "shards").exists():  # half-written by a killed attempt
        shutil.rmtree(out / "shards")
    shards.write_image_shards(out, records, shard_size)


def report(
    records: list[CropRecord], skipped: list[Skipped], absent: dict[str, str], adjusted: list[Skipped]
) -> dict[str, object]:
    """Return what report.json says: counts by split and reason, every skipped thing, and every adjusted one."""
    from skufp.data.splits import count

    return {
        "splits": count(records),
        "masks": dict(Counter(r.split for r in records if r.mask_path)),
        "absent_splits": absent,
        "skipped_by_reason": dict(Counter(s.reason for s in skipped).most_common()),
        "skipped": [asdict(s) for s in skipped],
        "adjusted_by_reason": dict(Counter(s.reason for s in adjusted).most_common()),
        "adjusted": [asdict(s) for s in adjusted],
    }


def _reasons(skipped: list[Skipped]) -> str:
    return ", ".join(f"{n} x {why}" for why, n in Counter(s.reason for s in skipped).most_common(4)) or "it is empty"


def show(cfg: DictConfig, folder: Path, console: Console) -> None:
    """Print the counts; with data.export_to, lay the files out there."""
    result = read_json(folder / "report.json")
    for split, row in result["splits"].items():
        console.print(f"{split}: {row['skus']} SKUs, {row['catalog']} catalogue views, {row['query']} queries")
    described, skus = result["products_with_rich_text"], sum(row["skus"] for row in result["splits"].values())
    console.print(f"{described} of {skus} SKUs have labels (colour, sleeve, fabric, …) that make a rich caption")
    for reason, count in result["skipped_by_reason"].items():
        console.print(f"  skipped {count} x {reason}")
    for reason, count in result["adjusted_by_reason"].items():
        console.print(f"  kept {count} x {reason}")
    if cfg.data.export_to:
        export(folder, Path(cfg.data.export_to))
        console.print(f"laid out in {cfg.data.export_to}", soft_wrap=True)
    console.print(f"every skipped item is named in {folder / 'report.json'}", style="dim")


def lay_out(cfg: DictConfig, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
    """Do for `export_to` what show() does for `data.export_to`."""
    export(folder, target)
    console.print(f"laid out in {target}", soft_wrap=True)


def export(folder: Path, target: Path) -> None:
    """Copy crops, masks, metadata, JSONL, shards and report to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(folder.iterdir()):
        if entry.name in ("generated", "manifest.json") or entry.name.endswith(".journal.jsonl"):
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, dirs_exist_ok=True)
        else:
            shutil.copy2(entry, target / entry.name)
