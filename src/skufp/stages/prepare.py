"""stage=prepare: a source's photos become crops, garment masks, captions, splits and shards."""

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.products import Product, write_products
from skufp.artifacts.records import CropRecord, Skipped, sku_metadata, write_records
from skufp.artifacts.split_names import source_split
from skufp.compute.progress import ProgressBar, worker_count
from skufp.errors import UserError
from skufp.output import warn
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.data.accounts import Readable, Reading

VERSION = 9
SHOWN = 20  # reasons in the console; report.json has all
Fields = dict[tuple[str, str], dict[str, str]]  # by the source's split and sku_id


def check(cfg: Config) -> None:
    """Raise UserError for an empty data label."""
    if not cfg.data.label.strip():
        raise UserError("data.label is empty: leave it out, or give the data a name, as in data.label=autumn")


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write crops, masks, `<split>_{sku_metadata.json,image_text.jsonl}`, products.jsonl, shards/ and report.json."""
    from skufp.config import build
    from skufp.data import accounts, crops, splits

    source = build(cfg.data.source)
    workers = worker_count(cfg)
    source.open(out, workers)
    reading = read_splits(source, list(cfg.data.splits))
    records, skipped = list(reading.records), reading.skipped
    if not records:
        raise UserError(
            f"data={cfg.data.name}: not one usable photo in {', '.join(cfg.data.splits)} ({_reasons(skipped)})"
        )
    splits.carve_dev(records, cfg.data.dev_share)
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
    skipped = skipped + failed + unmatched
    accounts.balance("stage=prepare", reading.rows, len(records), skipped)
    splits.assign_pools(records, cfg.data.held_out_share)
    fields = {(split, sku): own for split in cfg.data.splits for sku, own in source.fields(split).items()}
    products = describe_products(fields, records)
    write_products(out, products)
    add_rich_texts(records, products)
    _write(out, records, cfg.data.shard_size)
    found = report(reading, records, skipped, crops.adjusted(out))
    found["products_with_fields"] = sum(bool(product.fields) for product in products)
    found["products_with_rich_text"] = len({r.sku for r in records if r.rich_text})
    found["lost_products"] = lost_products(fields, reading.records, products, failed + unmatched)
    found["lost_products"] += misplaced_products(fields, reading.skipped)
    write_json(out / "report.json", found)


def read_splits(source: "Readable", names: list[str]) -> "Reading":
    """Read the named splits and account for everything else; warn of those that are missing or unlabelled."""
    from skufp.data.accounts import read_source

    reading = read_source(source, names)
    absent = reading.absent
    if len(absent) == len(set(names)):
        raise UserError(
            "none of the splits can be used: " + ("; ".join(f"{n}: {why}" for n, why in absent.items()) or "none named")
            + (f" ({_reasons(reading.skipped)})" if reading.skipped else "")
        )  # fmt: skip
    for name, why in absent.items():
        warn(f"split {name} is skipped: {why}")
    return reading


def describe_products(fields: Fields, records: list[CropRecord]) -> list[Product]:
    """Return every remaining SKU with the source's text columns."""
    names = {r.sku: r.category_name for r in records}
    return [Product(*sku, names[sku], fields.get((source_split(sku[0]), sku[1]), {})) for sku in sorted(names)]


def lost_products(
    fields: Fields, read: list[CropRecord], products: list[Product], lost: list[Skipped]
) -> list[dict[str, str]]:
    """Return the SKUs all of whose photos were unreadable, each with the reason of its first lost photo.

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


def misplaced_products(fields: Fields, skipped: list[Skipped]) -> list[dict[str, str]]:
    """Return the SKUs all of whose rows are in an unknown split, each with the reason of its first row."""
    known = {sku for _, sku in fields}
    found = {row.sku_id: row for row in reversed(skipped) if row.sku_id and row.sku_id not in known}
    return [{"split": found[sku].split, "id": sku, "reason": found[sku].reason} for sku in sorted(found)]


def add_rich_texts(records: list[CropRecord], products: list[Product]) -> None:
    """Set every photo's rich caption, query or not, from its SKU's fields; "" if they give none."""
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
    reading: "Reading", records: list[CropRecord], skipped: list[Skipped], adjusted: list[Skipped]
) -> dict[str, Any]:
    """Return report.json: counts by split and reason, all skipped rows, and all adjusted crops."""
    from skufp.data.accounts import left_out
    from skufp.data.splits import count

    adjusted = reading.noted + adjusted
    return {
        "rows": {"read": reading.rows, "kept": len(records), "left_out": left_out(skipped)},
        "splits": count(records),
        "masks": dict(Counter(r.split for r in records if r.mask_path)),
        "absent_splits": reading.absent,
        "skipped_by_reason": by_reason(skipped),
        "skipped": [asdict(s) for s in skipped],
        "adjusted_by_reason": by_reason(adjusted),
        "adjusted": [asdict(s) for s in adjusted],
    }


def by_reason(rows: list[Skipped]) -> dict[str, int]:
    """Return the number of rows per reason, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.reason] += row.count
    return dict(counts.most_common())


def _reasons(skipped: list[Skipped]) -> str:
    return ", ".join(f"{n} x {why}" for why, n in list(by_reason(skipped).items())[:4]) or "it is empty"


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the counts; with data.export_to, lay the files out there."""
    result = read_json(folder / "report.json")
    for split, row in result["splits"].items():
        console.print(f"{split}: {row['skus']} SKUs, {row['catalog']} catalogue views, {row['query']} queries")
    described, skus = result["products_with_rich_text"], sum(row["skus"] for row in result["splits"].values())
    console.print(f"{described} of {skus} SKUs have labels (colour, sleeve, fabric, …) that make a rich caption")
    rows = result["rows"]
    console.print(f"{rows['read']} rows in the source: {rows['kept']} photos kept, {rows['left_out']} rows left out")
    for what in ("skipped", "adjusted"):
        reasons = list(result[f"{what}_by_reason"].items())
        for reason, count in reasons[:SHOWN]:
            console.print(f"  {'kept' if what == 'adjusted' else what} {count} x {reason}", soft_wrap=True)
        if len(reasons) > SHOWN:
            console.print(f"  … and {len(reasons) - SHOWN} more reasons")
    if cfg.data.export_to:
        export(folder, Path(cfg.data.export_to))
        console.print(f"laid out in {cfg.data.export_to}", soft_wrap=True)
    console.print(f"every skipped item is named in {folder / 'report.json'}", style="dim")


def lay_out(cfg: Config, inputs: dict[str, Path], folder: Path, target: Path, console: Console) -> None:
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
