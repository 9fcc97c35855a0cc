"""Speed, size and recall of every index form against exact flat search in the same process (conf/index/).

python experiments/benchmarks/index_forms.py [--skus 44000] [--dim 768]   prints a table and writes
experiments/results/benchmarks/index_forms.json. One thread, one query at a time, medians; clustered random vectors, so
that neighbours are as hard to tell apart as siblings. `views` keeps three vectors per SKU.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # before numpy and faiss are imported

import faiss
import numpy as np

from skufp.retrieval.compression import KINDS
from skufp.retrieval.faiss_kinds import set_threads
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.latency import percentiles
from skufp.retrieval.representations import normalise

OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "index_forms.json"
QUERIES, K, VIEWS, SKUS_PER_CLUSTER, ROUNDS = 200, 10, 3, 50, 5


def around(centres: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return each unit row of ``centres`` moved by a random vector of length ``noise``, on the sphere again."""
    return normalise(centres + noise * normalise(rng.standard_normal(centres.shape, np.float32)))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skus", type=int, default=44_000)
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    set_threads(1)
    rng = np.random.default_rng(0)
    clusters = normalise(rng.standard_normal((options.skus // SKUS_PER_CLUSTER + 1, options.dim), np.float32))
    vectors = around(clusters[rng.integers(0, len(clusters), options.skus)], 0.6, rng)
    queries = around(vectors[rng.integers(0, options.skus, QUERIES)], 0.4, rng)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]

    owner = np.repeat(np.arange(options.skus), VIEWS)
    builds = {name: lambda kind=kind: SkuIndex.build(vectors, kind) for name, kind in KINDS.items()}
    views = around(vectors[owner], 0.4, rng)
    builds["views"] = lambda: SkuIndex.build(views, KINDS["flat"], sku_of_vector=owner)
    indexes, forms = {}, {}
    for name, build in builds.items():
        start = time.perf_counter()
        indexes[name] = build()
        seconds = time.perf_counter() - start
        forms[name] = size_and_recall(indexes[name], queries, exact if name in KINDS else None)
        forms[name]["build_seconds"] = seconds
    for name, milliseconds in speeds(indexes, queries).items():
        forms[name]["ms_per_query"] = milliseconds
    for row in forms.values():
        row["flat_ms_over_ms"] = forms["flat"]["ms_per_query"] / row["ms_per_query"]
        row["flat_bytes_over_bytes"] = forms["flat"]["bytes_per_sku"] / row["bytes_per_sku"]
    setting = vars(options) | {"queries": QUERIES, "threads": 1, "views_per_sku": VIEWS}
    setting |= {"faiss": faiss.__version__, "built_for": faiss.get_compile_options().strip()}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"setting": setting, "forms": forms}, indent=1) + "\n")
    show(forms)


def size_and_recall(index: SkuIndex, queries: np.ndarray, exact: np.ndarray | None) -> dict[str, float | None]:
    """Return bytes, and the share of ``exact`` [Q, K] that is found (None where there is nothing to compare with)."""
    found = index.search(queries, K)[1]
    shared = [] if exact is None else [len(set(a) & set(b)) / K for a, b in zip(found, exact, strict=True)]
    return {
        "code_bytes_per_vector": index.code_bytes_per_vector,
        "bytes_per_sku": index.nbytes / len(index),
        "recall@10": float(np.mean(shared)) if shared else None,
    }


def speeds(indexes: dict[str, SkuIndex], queries: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds of one query: the forms take turns, so that a busy machine slows all alike."""
    medians: dict[str, list[float]] = {name: [] for name in indexes}
    for part in np.array_split(queries, ROUNDS):
        for name, index in indexes.items():
            times = percentiles(lambda query, index=index: index.search(query[None], K), part)
            medians[name].append(times["p50_ms"])
    return {name: float(np.median(values)) for name, values in medians.items()}


def show(forms: dict[str, dict[str, float | None]]) -> None:
    """Print one line per form."""
    print(f"{'form':8}{'ms/query':>10}{'quicker':>9}{'bytes/SKU':>11}{'smaller':>9}{'recall@10':>11}{'build s':>9}")
    for name, row in forms.items():
        recall = "-" if row["recall@10"] is None else f"{row['recall@10']:.3f}"
        print(f"{name:8}{row['ms_per_query']:10.3f}{row['flat_ms_over_ms']:9.1f}{row['bytes_per_sku']:11.0f}"
              f"{row['flat_bytes_over_bytes']:9.1f}{recall:>11}{row['build_seconds']:9.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
