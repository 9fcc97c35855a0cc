"""Time and memory of stage=teacher on generated vectors: the whole stage, from an embed folder to its tables.

python experiments/benchmarks/teacher.py   20,000 SKUs x 5 views x 2 queries at 768 dimensions, two threads

Generating and measuring have a process each, since a child's peak memory includes what its parent's was. In the same
run a naive loop ranks a sample of the queries; its time for all is extrapolated. Writes
experiments/results/benchmarks/teacher.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "teacher.json"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("skus", 20_000), ("views", 5), ("queries", 2), ("dim", 768), ("folds", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--naive", type=int, default=40, help="queries that the naive loop ranks")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--step", choices=("generate", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--embed", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def generate(args: argparse.Namespace) -> None:
    """Write an embed folder: SKUs are clusters, in which views scatter less than queries."""
    import pyarrow as pa

    from skufp.artifacts.vectors import VectorTable

    rng = np.random.default_rng(0)
    per_sku = args.views + args.queries
    sku = np.repeat(np.arange(args.skus), per_sku)
    place = np.tile(np.arange(per_sku), args.skus)
    query = place >= args.views
    vectors = rng.standard_normal((args.skus, args.dim), np.float32)[sku]
    for start in range(0, len(vectors), 10_000):
        noise = rng.standard_normal((len(vectors[start : start + 10_000]), args.dim), np.float32)
        vectors[start : start + 10_000] += np.where(query, 3.0, 1.5)[start : start + 10_000, None] * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = {
        "split": ["train"] * len(sku), "sku_id": [f"sku-{i}" for i in sku],
        "view_id": [f"{i}_item1" for i in range(len(sku))], "domain": np.where(query, "query", "catalog"),
        "pool": np.where(query, "held_out", ""), "viewpoint": place % 3 + 1,
    }  # fmt: skip
    VectorTable(vectors, pa.table(rows)).save(args.embed)


def measure(args: argparse.Namespace) -> None:
    """Run the stage, then the naive loop; print a JSON line."""
    from omegaconf import OmegaConf

    from skufp.stages import teacher

    settings = {"choose": "best", "folds": args.folds, "seed": 0}
    cfg = OmegaConf.create(
        {"stages": {"teacher": settings}, "threads": args.threads, "trainer": {"accelerator": "cpu"}}
    )
    start = time.perf_counter()
    teacher.run(cfg, {"embed": args.embed}, args.embed)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # KiB on Linux
    report = json.loads((args.embed / "report.json").read_text())
    print(json.dumps({
        "wall_seconds": round(seconds, 1), "peak_rss_gib": round(peak, 2),
        "naive_loop_sampled_queries": args.naive, "naive_loop_seconds_extrapolated": round(naive(args), 0),
        "teacher_is_not_first_view": report["teacher_is_not_first_view"],
    }))  # fmt: skip


def naive(args: argparse.Namespace) -> float:
    """Return the seconds that ranking pair by pair, each against the means of all SKUs, would take for all queries."""
    from skufp.retrieval.representations import mean_of_views
    from skufp.stages.teacher import Train

    train = Train.load(args.embed)
    views, queries = train.views.vectors, train.queries.vectors
    means = mean_of_views(views, train.sku_of_view, args.skus)
    sample = np.random.default_rng(0).choice(len(queries), min(args.naive, len(queries)), replace=False)
    start = time.perf_counter()
    for q in sample:
        sku = train.sku_of_query[q]
        for v in np.flatnonzero(train.sku_of_view == sku):
            scores = means @ queries[q]
            scores[sku] = views[v] @ queries[q]
            np.count_nonzero(scores >= scores[sku])
    return (time.perf_counter() - start) / len(sample) * len(queries)


def main(args: argparse.Namespace) -> None:
    """Generate, measure, print and write the result."""
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryDirectory() as folder:
        for step in ("generate", "measure"):
            command = [sys.executable, __file__, *sys.argv[1:], "--step", step, "--embed", folder]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    sizes = {name: getattr(args, name) for name in ("skus", "views", "queries", "dim", "folds", "threads")}
    result: dict[str, Any] = {"machine": {"cores": os.cpu_count()}, "sizes": sizes} | json.loads(out.splitlines()[-1])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"stage=teacher, {args.skus} SKUs x {args.views} views x {args.queries} queries at {args.dim} dimensions:"
          f" {result['wall_seconds']} s, {result['peak_rss_gib']} GiB at its peak, {args.threads} threads\n"
          f"a naive loop over pairs: {result['naive_loop_seconds_extrapolated']:.0f} s,"
          f" extrapolated from {result['naive_loop_sampled_queries']} queries")  # fmt: skip


if __name__ == "__main__":
    arguments = parse()
    {"generate": generate, "measure": measure, None: main}[arguments.step](arguments)
