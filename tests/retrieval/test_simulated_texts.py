"""Simulated text queries: what each kind changes, and that a seed gives the same ones."""

import numpy as np
import pytest
from rapidfuzz.distance import OSA

from skufp.retrieval.evaluation.simulated_texts import (
    KINDS,
    NAMES,
    Described,
    ambiguity,
    mistyped,
    simulate,
    spoken_synonyms,
)

PANT = Described("Thorpe Track Pant", "black", "trousers", ("solid", "wool"))
UNTITLED = Described("", "burgundy", "short sleeve top", ("solid", "crew"))


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_changes_what_it_says(seed: int) -> None:
    made = simulate(PANT, seed)
    assert list(made) == list(KINDS)
    part = made["title_part"]
    assert part.text == part.means
    assert part.text in ("Thorpe Track black", "Track Pant black")
    typed, meant = made["typo"].text.split(), made["typo"].means.split()
    assert [OSA.distance(a, b) for a, b in zip(typed, meant, strict=True) if a != b] == [1]
    order = made["word_order"].text.split()
    assert sorted(order) == sorted(["Thorpe", "Track", "Pant", "black"])
    assert order != ["Thorpe", "Track", "Pant", "black"]
    said, meant_all = made["synonyms"].text, made["synonyms"].means
    assert meant_all == "black solid wool trousers"
    assert said.startswith(("jet plain wool ", "ebony plain wool "))
    assert said.endswith((" pants", " slacks"))


def test_queries_follow_from_the_seed_and_the_sku_alone() -> None:
    assert simulate(PANT, 3) == simulate(PANT, 3)
    assert len({simulate(PANT, seed)["typo"].text for seed in range(20)}) > 5


def test_without_a_title_attributes_and_category_are_the_name() -> None:
    made = simulate(UNTITLED, 0)
    assert set(made) == set(KINDS)
    assert set(made["word_order"].text.split()) == {"solid", "crew", "short", "sleeve", "top", "burgundy"}


def test_what_says_nothing_is_not_asked_and_what_has_no_synonym_not_by_synonyms() -> None:
    assert simulate(Described("", "", ""), 0) == {}
    assert set(simulate(Described("Zeppelin", "", ""), 0)) == {"title_part", "typo"}
    assert set(simulate(Described("赤い ドレス", "", ""), 0)) == {"title_part", "word_order"}


def test_a_typo_is_always_one() -> None:
    rng = np.random.default_rng(0)
    assert {OSA.distance("aabb", mistyped("aabb", rng)) for _ in range(300)} == {1}


def test_skus_of_equal_words_are_counted() -> None:
    assert ambiguity([PANT, UNTITLED, PANT, Described("", "", "")]).tolist() == [2, 1, 2, 1]
    assert ambiguity([]).tolist() == []


def test_the_frozen_list_never_says_the_word_itself() -> None:
    assert len(spoken_synonyms()) > 50
    assert all(word not in others and others for word, others in spoken_synonyms().items())
    assert set(NAMES) == {*KINDS, "labels"}
