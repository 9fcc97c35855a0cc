"""The dev split and the query pools, fixed by hash, so that no query scores what it helped to build."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from skufp.artifacts.records import CATALOG, QUERY, CropRecord, Skipped

LEARN, HELD_OUT = "learn", "held_out"


def _share(*parts: object) -> float:
    """Return a number in [0, 1) that depends on ``parts`` alone."""
    text = "/".join(map(str, parts))
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def carve_dev(records: Iterable[CropRecord], dev_share: float) -> None:
    """Move a share of train's pairs to the split ``dev``, all of a pair on one side; a source may have its own dev."""
    records = list(records)
    if any(r.split == "dev" for r in records):
        return
    train = [r for r in records if r.split == "train"]
    pairs = sorted({r.pair_id for r in train}, key=lambda pair: _share("dev", pair))
    count = max(1, round(dev_share * len(pairs))) if len(pairs) > 1 and dev_share > 0 else 0
    dev = set(pairs[:count])
    for r in train:
        if r.pair_id in dev:
            r.split = "dev"


def assign_pools(records: Iterable[CropRecord], held_out_share: float) -> None:
    """Say of every train query whether the retriever learns from it or it is held out.

    Held-out queries choose how much of the retriever's training is kept (one of a few averages of weights), pick
    teachers and prove fingerprints; no gradient of the retriever comes from them.
    """
    for r in records:
        if r.split == "train" and r.domain == QUERY:
            r.pool = HELD_OUT if _share("pool", r.sku_id, r.view_id) < held_out_share else LEARN


def fold_of_pair(pair_id: int, folds: int, seed: int) -> int:
    """Return the fold that a pair's queries are left out with, all siblings together."""
    return int(_share("fold", seed, pair_id) * folds)


def drop_unmatched(records: list[CropRecord], only_pairs: bool) -> tuple[list[CropRecord], list[Skipped]]:
    """Leave out queries whose SKU has no catalogue photo and, with ``only_pairs``, SKUs that have no query."""
    domains: dict[tuple[str, str], set[str]] = {}
    for r in records:
        domains.setdefault(r.sku, set()).add(r.domain)
    kept, skipped = [], []
    for r in records:
        reason = ""
        if CATALOG not in domains[r.sku]:
            reason = "orphan: no catalogue photo of its SKU"
        elif only_pairs and QUERY not in domains[r.sku]:
            reason = "no query of its SKU (only_pairs)"
        if reason:
            skipped.append(Skipped(r.split, r.orig_image_path, r.item_idx, reason, r.sku_id))
        else:
            kept.append(r)
    return kept, skipped


def count(records: Iterable[CropRecord]) -> dict[str, dict[str, int]]:
    """Return the numbers of SKUs, catalogue views and queries of every split."""
    result: dict[str, dict[str, int]] = {}
    skus: dict[str, set[str]] = {}
    for r in records:
        skus.setdefault(r.split, set()).add(r.sku_id)
        row = Counter(result.get(r.split, {"skus": 0, CATALOG: 0, QUERY: 0}))
        row[r.domain] += 1
        result[r.split] = dict(row)
    for split, ids in skus.items():
        result[split]["skus"] = len(ids)
    return result
