"""Recall against bytes per SKU, over index forms and numbers of dimensions.

Shapes: S SKUs, Q queries, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from skufp.errors import UserError, nearest
from skufp.retrieval.bootstrap import interval
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.metrics import per_query
from skufp.retrieval.ranks import ranks

# The `kind` of conf/index/<name>.yaml, where each is explained; a test compares the two.
KINDS = {
    "flat": "Flat",
    "int8": "SQ8",
    "rabitq": "HR,RaBitQ",
    "pq": "PQ{dim/8}",
    "hnsw": "HNSW32,SQ8",
}


def size_curve(
    vectors: Mapping[str, np.ndarray],
    queries: np.ndarray,
    target: np.ndarray,
    dims: Sequence[int],
    kinds: Sequence[str],
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row for every matrix of ``vectors`` (name -> [S, D]), number of leading dimensions and index form.

    ``queries`` [Q, D], ``target`` [Q] is the row of each query's SKU. Of ``dims`` those below D are used, and D itself;
    ``kinds`` are names of KINDS. A row holds "vectors", "dims", "kind" and either "bytes_per_sku" (the code),
    "index_bytes_per_sku" (the whole index: ids and tables too), "recall@1", "mrr" and their "interval"s over SKUs,
    or "skipped": the reason why no such index can be built. Raises UserError for an unknown kind.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"There is no index form '{kind}'.{nearest(kind, KINDS)}")
    rows = []
    for name, matrix in vectors.items():
        full = matrix.shape[1]
        for size in sorted({d for d in dims if d < full} | {full}):
            for kind in kinds:
                row: dict[str, Any] = {"vectors": name, "dims": size, "kind": kind}
                try:
                    index = SkuIndex.build(matrix, KINDS[kind], size)
                except UserError as error:
                    rows.append(row | {"skipped": str(error)})
                else:
                    rows.append(row | _measured(index, queries, target, resamples, seed))
    return rows


def _measured(index: SkuIndex, queries: np.ndarray, target: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    values = per_query(ranks(index, queries, target))
    intervals = {m: asdict(interval(values[m], target, resamples, seed)) for m in ("recall@1", "mrr")}
    return {
        "bytes_per_sku": index.code_bytes_per_vector,
        "index_bytes_per_sku": index.nbytes / len(index),
        **{m: found["mean"] for m, found in intervals.items()},
        "interval": intervals,
    }
