"""The time of a shop's first description, from a folder of photos and a CSV, and of a rerun after one change.

python experiments/benchmarks/describe.py [products]   runs `python -m skufp stage=describe model=lite llm=template` on
drawn shop photos (default: 500 products, a photo each, 512 x 512) in a temporary folder: all of it, then again with one
price changed. Prints the seconds of every stage and writes experiments/results/benchmarks/describe.json. The machine's
cores are all used, as a shop would; so compare the two runs, not machines.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from skufp.data.deepfashion2 import CATEGORIES
from skufp.data.synthetic import CatalogueParams, draw, plan

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "experiments" / "results" / "benchmarks" / "describe.json"
SIDE = 512
COMMAND = ("stage=describe", "model=lite", "llm=template", "data=catalogue", "data.manifest=products.csv")


def write_shop(folder: Path, count: int) -> None:
    """Draw ``count`` products into photos/ and list them in products.csv, as a shop would: sku, image, title, price."""
    pairs = {"train": count, "validation": 0, "test": 0}
    params = CatalogueParams(width=SIDE, height=SIDE, pairs=pairs, defects=False)
    (folder / "photos").mkdir()
    rows: dict[str, list[str]] = {}
    for image in plan(params):
        item = image.items[0]
        sku = f"{item.pair_id}-{item.style}"
        if image.source == "shop" and sku not in rows and len(rows) < count:
            rows[sku] = [sku, f"photos/{sku}.jpg", CATEGORIES[item.cut.category], "19.90"]
            (folder / rows[sku][1]).write_bytes(draw(image, params)[0])
    write_manifest(folder, list(rows.values()))


def write_manifest(folder: Path, rows: list[list[str]]) -> None:
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["sku", "image", "category", "price"], *rows])


def change_one_price(folder: Path) -> None:
    with (folder / "products.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    rows[0][3] = "24.90"
    write_manifest(folder, rows)


def describe(folder: Path) -> dict[str, object]:
    """Run the stage; return the seconds of the whole and of each stage, and where the products came from."""
    before = {path.parent for path in (folder / "runs").glob("*/*/manifest.json")}
    start = time.monotonic()
    command = [sys.executable, "-m", "skufp", *COMMAND, "progress=false"]
    subprocess.run(command, cwd=folder, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}, check=True, stdout=sys.stderr)
    seconds = time.monotonic() - start
    new = [path for path in (folder / "runs").glob("*/*/manifest.json") if path.parent not in before]
    stages = {path.parents[1].name: json.loads(path.read_text())["wall_seconds"] for path in new}
    (report,) = (path.with_name("report.json") for path in new if path.parents[1].name == "describe")
    timing = json.loads(report.read_text())["timing"]
    return {"seconds": round(seconds, 1), "stages": stages, "products": {
        origin: timing[origin] for origin in ("described", "cache", "journal", "failed") if origin in timing
    }}  # fmt: skip


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shop(folder, count)
        first = describe(folder)
        change_one_price(folder)
        second = describe(folder)
    ratio = second["seconds"] / first["seconds"]  # type: ignore[operator]
    found = {"products": count, "cores": os.cpu_count(), "first": first, "one_price_changed": second, "ratio": ratio}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
