"""The dev split and the query pools, fixed by hash, so that no query evaluates a model that it helped to train."""

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
    """Move a share of train's pairs, whole, to the split ``dev``; a source may have its own dev."""
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
    """Assign every train query to the retriever's training pool or to the held-out pool.

    Held-out queries select the retriever's weight average, select teachers, and train and prove fingerprints; the
    retriever has no gradient from them.
    """
    for r in records:
        if r.split == "train" and r.domain == QUERY:
            r.pool = HELD_OUT if _share("pool", r.sku_id, r.view_id) < held_out_share else LEARN


def fold_of_pair(pair_id: int, folds: int, seed: int) -> int:
    """Return the fold of a pair's queries, the same for all siblings."""
    return int(_share("fold", seed, pair_id) * folds)


def drop_unmatched(records: list[CropRecord], only_pairs: bool) -> tuple[list[CropRecord], list[Skipped]]:
    """Remove queries whose SKU has no catalogue photo and, with ``only_pairs``, SKUs without a query."""
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
