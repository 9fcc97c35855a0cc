"""Choosing an action for every query, from hand-made tables of ranks."""

import numpy as np
import pytest

from skufp.retrieval.bootstrap import interval
from skufp.retrieval.choices import best_action, choices, compare_choices, confusion

ACTIONS = ["identity", "exposure", "adapt"]
# Four queries of three SKUs. On its twin the third query is best left alone: the oracle must not know better.
RANKS = np.array([[4, 1, 2], [1, 2, 1], [4, 2, 10], [10, 20, 5]])
TWINS = np.array([[5, 1, 3], [2, 2, 3], [2, 3, 9], [8, 30, 4]])
POLICY = np.array([1, 0, 0, 1])
SKU = np.array([0, 0, 1, 2])


def _rows(resamples: int = 200) -> dict[str, dict]:
    return compare_choices(choices(ACTIONS, RANKS, TWINS, POLICY), SKU, resamples, seed=3)


def test_all_choices_are_there_in_order() -> None:
    assert list(_rows()) == [*ACTIONS, "random", "policy", "oracle", "hindsight"]


def test_the_best_of_equal_ranks_is_identity() -> None:
    assert best_action(TWINS).tolist() == [1, 0, 0, 2]
    assert best_action(RANKS).tolist() == [1, 0, 1, 2]


def test_ranks_of_each_choice() -> None:
    ranks = {c.name: c.ranks.tolist() for c in choices(ACTIONS, RANKS, TWINS, POLICY)}
    assert ranks["exposure"] == [1, 2, 2, 20]
    assert ranks["policy"] == [1, 1, 4, 20]
    assert ranks["oracle"] == [1, 1, 4, 5]  # by the twin; hindsight takes 2 for the third
    assert ranks["hindsight"] == [1, 1, 2, 5]


def test_figures_by_hand() -> None:
    rows = _rows()
    mrr = {name: row["mrr"] for name, row in rows.items()}
    assert mrr["identity"] == pytest.approx((1 / 4 + 1 + 1 / 4 + 1 / 10) / 4)  # 0.4
    assert mrr["exposure"] == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 20) / 4)
    assert mrr["policy"] == pytest.approx((1 + 1 + 1 / 4 + 1 / 20) / 4)  # 0.575
    assert mrr["oracle"] == pytest.approx((1 + 1 + 1 / 4 + 1 / 5) / 4)  # 0.6125
    assert mrr["hindsight"] == pytest.approx((1 + 1 + 1 / 2 + 1 / 5) / 4)
    assert [rows["policy"][f"recall@{k}"] for k in (1, 5, 10)] == [0.5, 0.75, 0.75]
    assert {name: row["acted"] for name, row in rows.items()} == pytest.approx({
        "identity": 0, "exposure": 1, "adapt": 1, "random": 2 / 3, "policy": 0.5, "oracle": 0.5, "hindsight": 0.75,
    })  # fmt: skip


def test_a_random_action_is_its_expectation() -> None:
    random = _rows()["random"]
    assert random["mrr"] == pytest.approx((1 / RANKS).mean())
    assert random["recall@5"] == pytest.approx((RANKS <= 5).mean())
    assert random["regret"]["mean"] == pytest.approx(0.6125 - (1 / RANKS).mean())


def test_regret_is_to_the_oracle() -> None:
    rows = _rows()
    assert rows["oracle"]["regret"] == {"mean": 0, "low": 0, "high": 0}
    assert rows["identity"]["regret"]["mean"] == pytest.approx(0.2125)
    assert rows["policy"]["regret"]["mean"] == pytest.approx(0.0375)
    assert rows["hindsight"]["regret"]["mean"] == pytest.approx(-0.0625)


def test_intervals_resample_skus_in_pairs() -> None:
    rows = _rows()
    gain = 1 / np.array([1, 1, 4, 20]) - 1 / np.array([4, 1, 4, 10])
    expected = interval(gain, SKU, 200, 3)
    assert rows["policy"]["minus_identity"]["mrr"] == pytest.approx(vars(expected))
    assert rows["identity"]["minus_identity"]["mrr"] == {"mean": 0, "low": 0, "high": 0}
    for row in rows.values():
        assert row["interval"]["mrr"]["low"] <= row["mrr"] <= row["interval"]["mrr"]["high"]


def test_the_gap_is_closed_only_where_there_is_one() -> None:
    assert all(row["gap_closed"]["mrr"] is None for row in _rows().values())  # without the first SKU no gap is left
    many = np.tile(RANKS[:1], (50, 1))  # the oracle is sure of 1 - 1/4
    half = np.arange(50) % 2
    rows = compare_choices(choices(ACTIONS, many, many, half), np.arange(50), 200, 0)
    assert rows["oracle"]["gap_closed"]["mrr"] == pytest.approx({"mean": 1, "low": 1, "high": 1})
    assert rows["identity"]["gap_closed"]["mrr"]["mean"] == 0
    assert rows["adapt"]["gap_closed"]["mrr"]["mean"] == pytest.approx((1 / 2 - 1 / 4) / (3 / 4))
    closed = rows["policy"]["gap_closed"]["mrr"]
    assert closed["mean"] == pytest.approx(0.5)
    assert closed["low"] < 0.5 < closed["high"]


def test_confusion_counts_pairs_of_choices() -> None:
    table = confusion(POLICY, best_action(TWINS), 3)
    assert table.tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]
