"""The dev split, the query pools and what is dropped."""

import hashlib
from collections.abc import Callable

import pytest

from skufp.artifacts.records import CropRecord
from skufp.data.splits import HELD_OUT, LEARN, assign_pools, carve_dev, count, drop_unmatched, fold_of_pair

Make = Callable[..., CropRecord]


def _train(record: Make, pairs: int, per_pair: int = 3) -> list[CropRecord]:
    return [
        record("train", pair, style, domain, pair * 100 + style * 10 + i)
        for pair in range(1, pairs + 1)
        for style in range(1, per_pair + 1)
        for i, domain in enumerate(("catalog", "query"))
    ]


@pytest.mark.parametrize(("pairs", "share", "expected"), [(40, 0.1, 4), (33, 0.25, 8), (5, 0.01, 1), (2, 0.5, 1)])
def test_dev_takes_the_exact_share_of_whole_pairs(record: Make, pairs: int, share: float, expected: int) -> None:
    records = _train(record, pairs)
    carve_dev(records, share)
    by_pair = {pair: {r.split for r in records if r.pair_id == pair} for pair in range(1, pairs + 1)}
    assert all(len(splits) == 1 for splits in by_pair.values())
    assert sum(splits == {"dev"} for splits in by_pair.values()) == expected


def test_dev_is_deterministic_and_other_splits_stay(record: Make) -> None:
    first, second = _train(record, 30), list(reversed(_train(record, 30)))
    second += [record("validation", 1, 1, "catalog", 1)]
    carve_dev(first, 0.2)
    carve_dev(second, 0.2)
    assert {r.pair_id for r in first if r.split == "dev"} == {r.pair_id for r in second if r.split == "dev"}
    assert second[-1].split == "validation"


@pytest.mark.parametrize(("pairs", "share"), [(1, 0.5), (30, 0.0)])
def test_no_dev_from_one_pair_or_no_share(record: Make, pairs: int, share: float) -> None:
    records = _train(record, pairs)
    carve_dev(records, share)
    assert {r.split for r in records} == {"train"}


def test_a_larger_share_contains_the_smaller_one(record: Make) -> None:
    chosen = []
    for share in (0.1, 0.3):
        records = _train(record, 50)
        carve_dev(records, share)
        chosen.append({r.pair_id for r in records if r.split == "dev"})
    assert chosen[0] < chosen[1]


def test_pools_are_for_train_queries_only(record: Make) -> None:
    records = _train(record, 300) + [record(s, 1, 1, "query", 9) for s in ("dev", "validation", "test")]
    assign_pools(records, 0.3)
    for r in records:
        is_train_query = r.split == "train" and r.domain == "query"
        assert (r.pool in (LEARN, HELD_OUT)) == is_train_query
        assert bool(r.pool) == is_train_query
    pools = [r.pool for r in records if r.pool]
    assert 0.25 < pools.count(HELD_OUT) / len(pools) < 0.35


def test_queries_of_one_sku_go_to_both_pools(record: Make) -> None:
    """Held out are queries, not SKUs: a SKU that the retriever learns from has a teacher, too."""
    queries = [record("train", pair, 1, "query", 10 * pair + i) for pair in range(1, 51) for i in range(4)]
    assign_pools(queries, 0.5)
    pools: dict[str, set[str]] = {}
    for r in queries:
        pools.setdefault(r.sku_id, set()).add(r.pool)
    assert sum(own == {LEARN, HELD_OUT} for own in pools.values()) > 35  # by chance 7 in 8 of 50


@pytest.mark.parametrize(("share", "pool"), [(0.0, LEARN), (1.0, HELD_OUT)])
def test_pool_shares_at_the_ends(record: Make, share: float, pool: str) -> None:
    records = [r for r in _train(record, 20) if r.domain == "query"]
    assign_pools(records, share)
    assert {r.pool for r in records} == {pool}


def test_pools_do_not_depend_on_the_other_records(record: Make) -> None:
    everything, half = _train(record, 40), _train(record, 40)[::2][::-1] + _train(record, 40)[1::4]
    assign_pools(everything, 0.3)
    assign_pools(half, 0.3)
    pool = {r.view_id: r.pool for r in everything}
    assert all(pool[r.view_id] == r.pool for r in half)


def test_orphans_are_dropped_within_their_split(record: Make) -> None:
    catalog, query = record("train", 1, 1, "catalog", 1), record("train", 1, 1, "query", 2)
    orphan = record("validation", 1, 1, "query", 3)  # the same sku_id, but its photo is in another split
    lonely = record("train", 2, 1, "catalog", 4)
    kept, skipped = drop_unmatched([catalog, query, orphan, lonely], only_pairs=False)
    assert kept == [catalog, query, lonely]
    assert [(s.split, s.file, s.item, s.detail) for s in skipped] == [("validation", "3.jpg", 1, orphan.sku_id)]
    assert "orphan" in skipped[0].reason


def test_only_pairs_drops_skus_without_query(record: Make) -> None:
    catalog, query = record("train", 1, 1, "catalog", 1), record("train", 1, 1, "query", 2)
    lonely = record("train", 2, 1, "catalog", 4)
    kept, skipped = drop_unmatched([catalog, lonely, query], only_pairs=True)
    assert kept == [catalog, query]
    assert [(s.file, s.reason) for s in skipped] == [("4.jpg", "no query of its SKU (only_pairs)")]


def test_counts_by_split(record: Make) -> None:
    records = [*_train(record, 2), record("dev", 9, 1, "catalog", 1), record("dev", 9, 1, "catalog", 2)]
    assert count(records) == {
        "train": {"skus": 6, "catalog": 6, "query": 6}, "dev": {"skus": 1, "catalog": 2, "query": 0},
    }  # fmt: skip


def test_folds_share_pairs_about_evenly() -> None:
    for folds in (2, 3, 5):
        found = [fold_of_pair(pair, folds, seed=0) for pair in range(3000)]
        assert set(found) == set(range(folds))
        for fold in range(folds):
            assert found.count(fold) / 3000 == pytest.approx(1 / folds, abs=0.03)


def test_a_pairs_fold_follows_from_pair_and_seed_alone() -> None:
    """Worked out from the hash's first 12 digits; so it is the same on every machine and in every process."""
    for seed, pair in ((0, 17), (3, 17), (0, 18)):
        digits = hashlib.sha256(f"fold/{seed}/{pair}".encode()).hexdigest()[:12]
        assert fold_of_pair(pair, 4, seed) == int(digits, 16) * 4 // 16**12
    assert [fold_of_pair(pair, 3, 0) for pair in range(8)] == [2, 1, 0, 2, 2, 1, 0, 0]
    first, second = ([fold_of_pair(pair, 2, seed) for pair in range(400)] for seed in (0, 1))
    assert 150 < sum(a == b for a, b in zip(first, second, strict=True)) < 250  # independent: half of them agree


def test_folds_do_not_follow_the_dev_split_or_the_pools() -> None:
    """A fold of the pairs that stay in train is as large as any: the hashes of both draws are unrelated."""
    shares = [int(hashlib.sha256(f"dev/{pair}".encode()).hexdigest()[:12], 16) / 16**12 for pair in range(2000)]
    staying = [pair for pair, share in enumerate(shares) if share >= 0.5]
    folds = [fold_of_pair(pair, 2, seed=0) for pair in staying]
    assert sum(folds) / len(folds) == pytest.approx(0.5, abs=0.05)


def test_one_fold_holds_everybody() -> None:
    assert {fold_of_pair(pair, 1, seed=5) for pair in range(50)} == {0}
