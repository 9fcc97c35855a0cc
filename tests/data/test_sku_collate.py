"""SKU batches: padding, queries and their targets, hidden views, teachers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skufp.data.sku_collate import (
    META,
    TrainingCollate,
    collate_all,
    drop_views,
    hidden_views_as_queries,
    join_queries,
    look_up,
    pad_views,
)
from skufp.data.sku_teachers import Teachers

DIM = 3
POOLS = ("held_out",)


def _sample(name: str, views: int, pools: tuple[str, ...] = (), first: float = 0.0) -> dict[str, Any]:
    """View i of a SKU is [first, i, 1], its query i is [first, i, -1]: a vector says whose it is."""
    meta: dict[str, Any] = {"pair_id": 1, "sku_id": name, "pools": list(pools)}
    meta |= {column: [(i + c) % 4 for i in range(views)] for c, column in enumerate(META[:3])}
    meta["generated"] = [i % 2 == 1 for i in range(views)]
    meta["view_ids"] = [f"{name}-v{i}" for i in range(views)]
    meta["query_ids"] = [f"{name}-q{i}" for i in range(len(pools))]
    return {"views": _vectors(first, views, 1), "queries": _vectors(first, len(pools), -1), "meta": meta}


def _vectors(first: float, count: int, last: int) -> np.ndarray:
    return np.array([[first, i, last] for i in range(count)], np.float16).reshape(count, DIM)


A = _sample("a", 2, ("held_out", "learn", "held_out"), 10)
B = _sample("b", 1, (), 20)
C = _sample("c", 3, ("learn", "held_out"), 30)
SAMPLES, ROWS = [A, B, C], {"a": 4, "b": 0, "c": 2}
TEACHERS = Teachers(
    {
        ("a", -1): ("a-v1", 0.5), ("a", 0): ("a-v0", 0.25), ("a", 1): ("a-v1", 0.125),
        ("c", -1): ("c-v2", 0.75), ("c", 1): ("gone", 3.0),
    },
    {("a", "a-q0"): 1, ("a", "a-q2"): 0, ("c", "c-q1"): 1},
)  # fmt: skip


def _collate(samples: list[dict[str, Any]] = SAMPLES, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"teachers": TEACHERS, "bank_rows": ROWS, "pools": POOLS}
    return TrainingCollate(**(settings | changes))(samples, np.random.default_rng(0))


def test_views_are_padded_with_zeros_and_masked() -> None:
    batch = pad_views(SAMPLES)
    assert batch["views"].tolist() == [
        [[10, 0, 1], [10, 1, 1], [0, 0, 0]], [[20, 0, 1], [0, 0, 0], [0, 0, 0]], [[30, 0, 1], [30, 1, 1], [30, 2, 1]],
    ]  # fmt: skip
    assert batch["views"].dtype == torch.float32
    assert batch["mask"].tolist() == [[True, True, False], [True, False, False], [True, True, True]]


def test_metadata_columns_are_in_the_order_of_their_names() -> None:
    assert META == ("viewpoint", "occlusion", "zoom_in", "generated")
    meta = pad_views(SAMPLES)["meta"]
    assert meta.dtype == torch.long
    assert meta[2].tolist() == [[0, 1, 2, 0], [1, 2, 3, 1], [2, 3, 0, 0]]
    assert meta[1].tolist() == [[0, 1, 2, 0], [0] * 4, [0] * 4]


def test_join_queries_takes_those_that_are_used_and_says_whose_they_are() -> None:
    batch = join_queries(SAMPLES, [[2, 0], [], [1]])
    assert batch["queries"].tolist() == [[10, 2, -1], [10, 0, -1], [30, 1, -1]]
    assert batch["query_target"].tolist() == [0, 0, 2]


def test_join_no_queries() -> None:
    batch = join_queries(SAMPLES, [[], [], []])
    assert batch["queries"].shape == (0, DIM)
    assert batch["query_target"].dtype == torch.long
    assert batch["query_target"].shape == (0,)


def test_collate_all_keeps_every_query_and_every_view() -> None:
    batch = collate_all(SAMPLES)
    assert batch["query_target"].tolist() == [0, 0, 0, 2, 2]
    assert int(batch["mask"].sum()) == 6
    assert batch["sku_id"] == ["a", "b", "c"]
    assert batch["sku_meta"] == [A["meta"], B["meta"], C["meta"]]


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        (("held_out",), [[10, 0, -1], [10, 2, -1], [30, 1, -1]]),
        (("learn",), [[10, 1, -1], [30, 0, -1]]),
        (("learn", "held_out"), [[10, 0, -1], [10, 1, -1], [10, 2, -1], [30, 0, -1], [30, 1, -1]]),
        ((), []),
    ],
)
def test_only_queries_of_the_pools_are_learnt_from(pools: tuple[str, ...], expected: list[list[float]]) -> None:
    batch = _collate(pools=pools)
    assert batch["queries"].tolist() == expected
    assert batch["query_target"].tolist() == [{10: 0, 30: 2}[int(row[0])] for row in expected]
    assert batch["query_teacher"].shape == (len(expected), DIM)
    assert batch["query_teacher_weight"].shape == (len(expected),)


def test_bank_rows_and_teachers_of_skus() -> None:
    batch = _collate()
    assert batch["bank_index"].tolist() == [4, 0, 2]
    assert batch["teacher_weight"].tolist() == [0.5, 0.0, 0.75]
    assert batch["teacher"][[0, 2]].tolist() == [[10, 1, 1], [30, 2, 1]]
    assert batch["teacher"].dtype == batch["teacher_weight"].dtype == torch.float32


def test_a_query_is_taught_by_the_view_of_its_own_fold() -> None:
    batch = _collate(pools=("held_out", "learn"))
    asked = ["a-q0", "a-q1", "a-q2", "c-q0", "c-q1"]
    weight = dict(zip(asked, batch["query_teacher_weight"].tolist(), strict=True))
    teacher = dict(zip(asked, batch["query_teacher"].tolist(), strict=True))
    assert (teacher["a-q0"], weight["a-q0"]) == ([10, 1, 1], 0.125)  # fold 1 chose a-v1
    assert (teacher["a-q2"], weight["a-q2"]) == ([10, 0, 1], 0.25)  # fold 0 chose a-v0
    # Learnt queries have no fold, and the view that fold 1 chose for c is not among c's views.
    assert [weight[q] for q in ("a-q1", "c-q0", "c-q1")] == [0, 0, 0]


def test_without_teachers_every_weight_is_0() -> None:
    batch = _collate(teachers=Teachers({}, {}))
    assert not batch["teacher_weight"].any()
    assert not batch["query_teacher_weight"].any()
    assert batch["teacher"].shape == (3, DIM)
    assert batch["query_teacher"].shape == (3, DIM)


def test_look_up_of_nothing_has_the_asked_width() -> None:
    vectors, weights = look_up([], DIM)
    assert (vectors.shape, weights.shape) == ((0, DIM), (0,))


def _wide() -> list[dict[str, Any]]:
    return [_sample("a", 6, ("held_out",), 10), _sample("b", 1, (), 20), _sample("c", 4, ("held_out",), 30)]


def test_all_views_remember_what_was_hidden() -> None:
    batch = _collate(_wide(), view_dropout=0.5)
    assert batch["all_views"].sum(dim=1).tolist() == [6, 1, 4]
    assert not (batch["mask"] & ~batch["all_views"]).any()
    assert batch["mask"].any(dim=1).all()
    assert batch["mask"].sum() < batch["all_views"].sum()
    assert torch.equal(batch["views"], pad_views(_wide())["views"])  # hidden, not deleted
    assert torch.equal(_collate(_wide())["mask"], batch["all_views"])


def test_the_generator_alone_decides_what_is_hidden() -> None:
    first, again = (_collate(_wide(), view_dropout=0.5)["mask"] for _ in range(2))
    assert torch.equal(first, again)
    collate = TrainingCollate(TEACHERS, ROWS, POOLS, view_dropout=0.5)
    others = [collate(_wide(), np.random.default_rng(i))["mask"] for i in range(1, 5)]
    assert any(not torch.equal(first, other) for other in others)


def _pairs(batch: dict[str, Any]) -> list[tuple[list[float], int]]:
    return list(zip(batch["queries"].tolist(), batch["query_target"].tolist(), strict=True))


def test_exactly_the_hidden_views_ask_for_their_owner() -> None:
    plain = _collate(_wide(), view_dropout=0.5)
    batch = _collate(_wide(), view_dropout=0.5, hidden_views_ask=True)
    hidden = [
        (batch["views"][sku, view].tolist(), sku)
        for sku in range(3)
        for view in range(6)
        if batch["all_views"][sku, view] and not batch["mask"][sku, view]
    ]
    assert hidden
    assert _pairs(batch) == _pairs(plain) + hidden
    assert batch["query_teacher_weight"].tolist() == plain["query_teacher_weight"].tolist() + [0.0] * len(hidden)
    assert batch["query_teacher"].shape == batch["queries"].shape
    assert torch.equal(batch["mask"], plain["mask"])


def test_where_no_view_is_hidden_none_asks() -> None:
    assert _pairs(_collate(_wide(), hidden_views_ask=True)) == _pairs(_collate(_wide()))


def test_hidden_views_ask_in_a_batch_without_queries() -> None:
    batch = _collate(_wide(), pools=(), view_dropout=0.5, hidden_views_ask=True)
    assert len(batch["queries"]) == int((batch["all_views"] & ~batch["mask"]).sum()) > 0
    assert batch["query_target"].dtype == torch.long


def test_hidden_views_as_queries_by_hand() -> None:
    views = torch.arange(12.0).reshape(2, 3, 2)
    batch: dict[str, Tensor] = {
        "views": views, "mask": torch.tensor([[True, False, True], [False, True, False]]),
        "all_views": torch.tensor([[True, True, True], [True, True, False]]),
        "queries": torch.tensor([[7.0, 7.0]]), "query_target": torch.tensor([1]),
        "query_teacher": torch.tensor([[8.0, 8.0]]), "query_teacher_weight": torch.tensor([0.5]),
    }  # fmt: skip
    more = hidden_views_as_queries(batch, torch.ones(len(batch["mask"]), dtype=torch.bool))
    assert more["queries"].tolist() == [[7, 7], [2, 3], [6, 7]]
    assert more["query_target"].tolist() == [1, 0, 1]
    assert more["query_teacher_weight"].tolist() == [0.5, 0, 0]
    assert more["query_teacher"][0].tolist() == [8, 8]
    assert batch["queries"].tolist() == [[7, 7]]  # the given batch stays as it was


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_at_least_one_view_stays_and_none_appears(share: float) -> None:
    mask = torch.arange(8)[None, :] < torch.tensor([1, 2, 5, 8] * 50)[:, None]
    before = mask.clone()
    kept = drop_views(mask, share, np.random.default_rng(0))
    assert kept.any(dim=1).all()
    assert not (kept & ~mask).any()
    assert torch.equal(mask, before)
    assert kept.sum() < mask.sum() or share == 1.0


def test_about_the_asked_share_is_dropped() -> None:
    mask = torch.ones(400, 20, dtype=torch.bool)
    kept = drop_views(mask, 0.25, np.random.default_rng(0))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.02)
    assert torch.equal(kept, drop_views(mask, 0.25, np.random.default_rng(0)))
    assert torch.equal(drop_views(mask, 0.0, np.random.default_rng(0)), mask)


def _of_pair(sample: dict[str, Any], pair: int) -> dict[str, Any]:
    return {**sample, "meta": {**sample["meta"], "pair_id": pair}}


def test_skus_that_are_left_out_neither_ask_nor_have_a_teacher() -> None:
    samples = [_of_pair(A, 7), _of_pair(B, 8), _of_pair(C, 9)]
    asked: list[int] = []

    def is_left_out(pair: int) -> bool:
        asked.append(pair)
        return pair == 7

    everyone, batch = _collate(samples), _collate(samples, is_left_out=is_left_out)
    assert set(asked) == {7, 8, 9}
    assert everyone["query_target"].tolist() == [0, 0, 2]
    assert batch["queries"].tolist() == [[30, 1, -1]]
    assert batch["query_target"].tolist() == [2]
    assert len(batch["query_teacher"]) == len(batch["query_teacher_weight"]) == 1
    assert everyone["teacher_weight"].tolist() == [0.5, 0.0, 0.75]
    assert batch["teacher_weight"].tolist() == [0.0, 0.0, 0.75]
    # Else nothing changes: their views stay, and stay in the bank.
    for name in ("views", "mask", "all_views", "meta", "bank_index"):
        assert torch.equal(batch[name], everyone[name]), name
    assert batch["sku_id"] == everyone["sku_id"]


def test_a_batch_in_which_all_are_left_out() -> None:
    batch = _collate(is_left_out=lambda pair: True)
    assert batch["queries"].shape == batch["query_teacher"].shape == (0, DIM)
    assert batch["query_target"].dtype == torch.long
    assert batch["teacher_weight"].tolist() == [0, 0, 0]
    assert batch["views"].shape == (3, 3, DIM)


def test_leaving_out_draws_no_other_hidden_views() -> None:
    everyone, batch = (_collate(_wide(), view_dropout=0.5, is_left_out=f) for f in (lambda p: False, lambda p: True))
    assert torch.equal(everyone["mask"], batch["mask"])


# ---- Counterfactuals ----


def _with_negatives(sample: dict[str, Any], count: int) -> dict[str, Any]:
    """Counterfactual i of a SKU is [first, i, 5]."""
    return {**sample, "negatives": _vectors(float(sample["views"][0, 0]), count, 5)}


DRAWN = [_with_negatives(A, 2), _with_negatives(B, 0), _with_negatives(C, 1)]


def test_counterfactuals_come_along_and_say_whose_they_are() -> None:
    batch = _collate(DRAWN, negatives=True)
    assert batch["negatives"].tolist() == [[10, 0, 5], [10, 1, 5], [30, 0, 5]]
    assert batch["negatives"].dtype == torch.float32
    assert batch["negative_target"].tolist() == [0, 0, 2]
    plain = _collate(DRAWN)
    assert set(batch) - set(plain) == {"negatives", "negative_target"}
    assert all(torch.equal(batch[name], value) for name, value in plain.items() if isinstance(value, Tensor))


def test_a_batch_in_which_no_sku_has_a_counterfactual() -> None:
    batch = _collate([_with_negatives(s, 0) for s in SAMPLES], negatives=True)
    assert batch["negatives"].shape == (0, DIM)
    assert batch["negative_target"].dtype == torch.long
    assert batch["negative_target"].shape == (0,)
