"""Which made views join: counts against a naive formula, turns by hand, no dependence on row order."""

import random
from dataclasses import replace

import pytest

from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.data.view_mix import choose_views, in_turn, room

BASE = ViewRow(
    split="train", sku_id="a", pair_id=1, style=1, category_id=1, category_name="skirt", view_id="", kind=VIEW,
    source_view="v", action="", round=0, seed=0, noise=1.0, toward_sku="", viewpoint=2, zoom_in=1, occlusion=1,
    own_similarity=0.9, source_similarity=0.8, structure_similarity=0.8, other_similarity=0.5, other_sku="b",
    margin=0.0, category_found=1, colour_distance=0.1, kept=True, reason="", text="", part=0,
)  # fmt: skip


def _row(view_id: str, action: str, margin: float = 0.0, **changes: object) -> ViewRow:
    return replace(BASE, view_id=view_id, action=action, margin=margin, **changes)  # type: ignore[arg-type]


def _ids(rows: list[ViewRow]) -> list[str]:
    return [row.view_id for row in rows]


OWN = [_row("b1", "back", 0.1), _row("b2", "back", 0.4), _row("b3", "back", 0.2), _row("f1", "front", 0.9),
       _row("z1", "zoom", 0.3), _row("z2", "zoom", 0.3)]  # fmt: skip


def test_actions_take_turns_and_give_their_highest_margin_first() -> None:
    order = _ids(in_turn(OWN))
    turns = [["b2", "f1", "z1"], ["f1", "z1", "b2"], ["z1", "b2", "f1"]]
    assert order[:3] in turns  # whoever begins, the others follow by name
    second = [name for name in order[:3] if name != "f1"]
    assert order[3:5] == [{"b2": "b3", "z1": "z2"}[name] for name in second]
    assert order[5] == "b1"
    assert in_turn([]) == []


def test_which_action_begins_differs_from_sku_to_sku() -> None:
    first = [in_turn([replace(row, sku_id=f"sku{i}") for row in OWN])[0].action for i in range(60)]
    assert all(10 <= first.count(action) <= 30 for action in ("back", "front", "zoom"))


def test_the_choice_depends_on_no_order_of_rows() -> None:
    real = {("train", "b"): 2, ("train", "a"): 1}
    rows = OWN + [replace(row, sku_id="b") for row in OWN]
    shuffled = random.Random(0).sample(rows, len(rows))
    chosen = choose_views(rows, real, "generated", 2.0, 9)
    assert choose_views(shuffled, real, "generated", 2.0, 9) == chosen
    assert [row.sku_id for row in chosen] == ["b"] * 4 + ["a"] * 2


def test_only_kept_rows_of_the_kind_that_is_asked_for_join() -> None:
    rows = [_row("kept", "x"), _row("not", "x", kept=False, reason="margin"), _row("classic", "x", kind=CONTROL),
            _row("never", "x", kind=COUNTERFACTUAL)]  # fmt: skip
    assert _ids(choose_views(rows, {("train", "a"): 5}, "generated", 1.0, 99)) == ["kept"]
    assert _ids(choose_views(rows, {("train", "a"): 5}, "control", 1.0, 99)) == ["classic"]


def test_equal_numbers_of_either_kind_give_equal_numbers_of_views() -> None:
    rows = OWN + [replace(row, kind=CONTROL, action="classic", view_id=f"c{row.view_id}") for row in OWN]
    for cap in (1.0, 2.0, 9.0):
        found = [choose_views(rows, {("train", "a"): 2}, take, cap, 6) for take in ("generated", "control")]
        assert len(found[0]) == len(found[1]) == min(int(2 * cap), 4)


def test_ids_mean_nothing_without_their_split() -> None:
    rows = [_row("one", "x"), _row("two", "x", split="dev")]
    assert _ids(choose_views(rows, {("dev", "a"): 1, ("train", "a"): 0}, "generated", 1.0, 9)) == ["two"]


def test_a_row_of_an_unknown_sku_is_no_silent_loss() -> None:
    with pytest.raises(KeyError):
        choose_views([_row("one", "x", sku_id="stranger")], {("train", "a"): 1}, "generated", 1.0, 9)


@pytest.mark.parametrize(
    ("real", "cap", "views", "expected"),
    [(1, 2.0, 6, 2), (1, 0.9, 6, 0), (3, 0.5, 6, 1), (3, 2.0, 6, 3), (7, 2.0, 6, 0), (100, 0.29, 999, 29)],
)  # fmt: skip
def test_room_is_capped_by_the_share_and_by_the_number_in_all(real: int, cap: float, views: int, expected: int) -> None:
    assert room(real, cap, views) == expected
