"""Kinds of view by their codes: the first that fits, ids by order, and what is refused."""

from typing import Any

import pytest

from skufp.data.view_kinds import ViewKinds
from skufp.errors import UserError

TABLE = {
    "zoom": {"zoom_in": [2, 3]}, "front": {"viewpoint": [2]}, "back": {"viewpoint": [3]}, "flat": {"viewpoint": [1]},
}  # fmt: skip


@pytest.mark.parametrize("zoom_in", [0, 1, 2, 3])
@pytest.mark.parametrize("viewpoint", [0, 1, 2, 3])
def test_the_first_kind_that_fits_names_the_view(viewpoint: int, zoom_in: int) -> None:
    expected = "zoom" if zoom_in >= 2 else {0: "front", 1: "flat", 2: "front", 3: "back"}[viewpoint]
    assert ViewKinds(TABLE).of(viewpoint, zoom_in) == expected


def test_all_conditions_must_hold() -> None:
    kinds = ViewKinds({"detail": {"viewpoint": [2, 3], "zoom_in": [3]}, "front": {"viewpoint": [2]}})
    assert [kinds.of(2, 3), kinds.of(3, 3), kinds.of(2, 2)] == ["detail", "detail", "front"]


def test_ids_follow_the_table() -> None:
    kinds = ViewKinds(TABLE)
    assert len(kinds) == 4
    assert kinds.names == ["zoom", "front", "back", "flat"]
    assert [kinds.id(name) for name in kinds.names] == [0, 1, 2, 3]
    assert ViewKinds(dict(reversed(TABLE.items()))).id("zoom") == 3


def test_unknown_codes_are_a_front_or_the_first_kind() -> None:
    assert ViewKinds(TABLE).of(0, 0) == "front"
    assert ViewKinds({"back": {"viewpoint": [3]}, "flat": {"viewpoint": [1]}}).of(0, 0) == "back"


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no 'frnt'.* 'front'"):
        ViewKinds(TABLE).id("frnt")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "no kind"),
        ({"front": {}}, "front"),
        ({"front": None}, "front"),
        ({"front": {"view_point": [2]}}, r"no 'view_point'.* 'viewpoint'"),
        ({"front": {"viewpoint": 2}}, r"viewpoint=2 is no list"),
        ({"front": {"viewpoint": []}}, r"viewpoint=\[\] is no list"),
        ({"front": {"viewpoint": ["front"]}}, "is no list of codes"),
        ({"front": {"viewpoint": "2"}}, "is no list of codes"),
    ],
)
def test_a_table_that_means_nothing_is_refused(table: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ViewKinds(table)
