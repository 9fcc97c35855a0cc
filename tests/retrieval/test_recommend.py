"""Recommendations against hand-placed angles and naive double loops."""

import numpy as np
import pytest

from skufp.retrieval.body_parts import worn_on
from skufp.retrieval.recommend import DEPTH, Hit, recommend
from skufp.retrieval.representations import normalise


def _at(*degrees: float) -> np.ndarray:
    """Unit vectors [N, 2] at these angles."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def _rows(hits: list[Hit]) -> list[int]:
    return [hit.row for hit in hits]


def test_similar_is_the_ranking_of_the_others_by_angle() -> None:
    found = recommend(_at(0, 10, 30, 90), [""] * 4, None, None, 2)
    assert [_rows(r.similar) for r in found] == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert found[0].similar[0].score == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)
    assert found[0].near_style == found[0].same_style == found[0].complete_the_look == []


def test_equal_scores_go_by_row_even_where_the_ranking_is_cut() -> None:
    copies = DEPTH * 2
    found = recommend(np.concatenate([_at(5), np.repeat(_at(0), copies, axis=0)]), [""] * (copies + 1), None, None, 3)
    assert _rows(found[0].similar) == [1, 2, 3]
    assert _rows(found[copies].similar) == [1, 2, 3]
    assert _rows(found[1].similar) == [2, 3, 4]


def test_other_colours_of_a_style_and_near_styles() -> None:
    categories = ["shirt", "shirt", "shirt", "skirt", "shirt", "shirt", "shirt"]
    styles = ["a", "a", "a", "a", "b", "b", None]
    colours = ["red", "Red", "blue", "blue", "red", None, None]
    found = recommend(_at(0, 1, 9, 2, 5, 4, 20), categories, styles, colours, 5)
    assert _rows(found[0].same_style) == [2]  # 1 is red too, 3 is a skirt
    assert _rows(found[2].same_style) == [1, 0]
    assert _rows(found[4].same_style) == [5]  # an unknown colour counts as another
    assert found[6].same_style == []  # no style: one of its own
    assert _rows(found[0].near_style) == [5, 6]  # style b once, by its nearest
    assert _rows(found[6].near_style) == [2, 4]
    assert found[3].near_style == []


def test_a_look_has_no_part_of_the_body_twice() -> None:
    categories = ["long sleeve top", "trousers", "skirt", "sling dress", "jacket", "vest", "handbag"]
    found = recommend(_at(0, 20, 10, 5, 30, 1, 2), categories, None, None, 5)
    assert _rows(found[0].complete_the_look) == [2, 4]  # the skirt is nearer than the trousers; no dress, no vest
    assert _rows(found[3].complete_the_look) == [4]
    assert _rows(found[4].complete_the_look) == [1, 5]  # trousers at 10 degrees; the dress at 25 no longer fits
    assert found[6].complete_the_look == []
    assert _rows(recommend(_at(0, 20, 10, 5, 30, 1, 2), categories, None, None, 1)[0].complete_the_look) == [2]


def test_a_dress_wins_over_separates_where_it_is_nearest() -> None:
    found = recommend(_at(0, 10, 5, 20), ["coat", "top", "dress", "skirt"], None, None, 5)
    assert _rows(found[0].complete_the_look) == [2]


def test_styles_and_looks_are_for_one_person() -> None:
    categories = ["top", "top", "top", "trousers", "trousers", "coat"]
    genders = ["men", "women", "Unisex", "women", "Men", None]
    found = recommend(_at(0, 1, 2, 3, 4, 5), categories, None, None, 5, genders)
    assert _rows(found[0].near_style) == [2]
    assert _rows(found[2].near_style) == [1, 0]
    assert _rows(found[0].complete_the_look) == [4, 5]
    assert _rows(found[1].complete_the_look) == [3, 5]
    assert _rows(found[5].complete_the_look) == [4, 2]
    assert _rows(found[0].similar) == [1, 2, 3, 4, 5]


def test_what_is_shown_together_fits_together() -> None:
    found = recommend(_at(0, 1, 2), ["top", "trousers", "coat"], None, None, 5, ["unisex", "women", "men"])
    assert _rows(found[0].complete_the_look) == [1]


def test_equals_naive_double_loops() -> None:
    rng = np.random.default_rng(0)
    count, k = 120, 4
    vectors = normalise(rng.normal(size=(count, 8))).astype(np.float32)
    categories = [["top", "skirt", "dress", "coat", "bag", ""][i] for i in rng.integers(0, 6, count)]
    styles = [None if i == 0 else int(i) for i in rng.integers(0, 25, count)]
    colours = [[None, "red", "blue"][i] for i in rng.integers(0, 3, count)]
    for i, found in enumerate(recommend(vectors, categories, styles, colours, k)):
        order = sorted((j for j in range(count) if j != i), key=lambda j: -float(vectors[i] @ vectors[j]))
        assert _rows(found.similar) == order[:k]
        same = [j for j in order if styles[i] is not None and styles[j] == styles[i] and categories[j] == categories[i]]
        other_colour = [j for j in same if None in (colours[i], colours[j]) or colours[i] != colours[j]]
        assert _rows(found.same_style) == other_colour[:k]
        near, seen = [], {styles[i]} - {None}
        for j in order:
            if categories[i] and categories[j] == categories[i] and styles[j] not in seen:
                near.append(j)
                seen |= {styles[j]} - {None}
        assert _rows(found.near_style) == near[:k]
        look, taken = [], set(worn_on(categories[i]))
        for j in order:
            if taken and worn_on(categories[j]) and not taken & worn_on(categories[j]):
                look.append(j)
                taken |= worn_on(categories[j])
        assert _rows(found.complete_the_look) == look[:k]
        assert [h.score for h in found.similar] == pytest.approx([float(vectors[i] @ vectors[j]) for j in order[:k]])


def test_few_or_no_skus_and_wrong_lengths() -> None:
    assert recommend(np.zeros((0, 4), np.float32), [], None, None, 3) == []
    assert recommend(_at(0), ["top"], None, None, 3)[0].similar == []
    with pytest.raises(ValueError, match="2 vectors, 1 categories"):
        recommend(_at(0, 1), ["top"], None, None, 3)
