"""What a query looks up: synonyms in both directions, and words one slip away."""

import itertools

import pytest

from skufp.retrieval.words.query import CORRECTED, Unit, make_synonyms, units_of
from skufp.retrieval.words.spelling import MOST, Spelling

SYNONYMS = make_synonyms([
    ("tee", "T-shirt", 1.0), ("t-shirt", "tee", 1.0), ("red", "crimson", 0.7), ("crimson", "red", 0.7),
    ("navy", "navy blue", 0.7), ("navy", "dark blue", 0.5), ("navy", "dark blue", 0.7),
])  # fmt: skip
KNOWN = Spelling({"red": 3, "crimson": 0, "shirt": 2, "short": 5, "tee": 1, "t": 1, "navy": 1, "dark": 1}.items())


def slips(word: str) -> set[str]:
    """All words one insertion, deletion, substitution or swap away, by brute force."""
    letters, cuts = "abcdefghijklmnopqrstuvwxyz", [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = {a + b[1:] for a, b in cuts if b} | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    found |= {a + c + b[1:] for (a, b), c in itertools.product(cuts, letters) if b}
    return (found | {a + c + b for (a, b), c in itertools.product(cuts, letters)}) - {word}


def test_every_single_slip_finds_the_word_and_two_do_not() -> None:
    spelling = Spelling([("thorpe", 1)])
    assert all(spelling.neighbours(word) == ["thorpe"] for word in slips("thorpe"))
    assert spelling.neighbours("thrpee") == []
    assert spelling.neighbours("thxxpe") == []


def test_neighbours_come_by_the_number_of_their_skus_and_are_few() -> None:
    assert KNOWN.neighbours("shirr") == ["shirt"]
    assert KNOWN.neighbours("shrt") == ["short", "shirt"]
    assert len(Spelling((f"bal{c}", 1) for c in "abcdefgh").neighbours("balz")) == MOST


@pytest.mark.parametrize("word", ["rd", "rde", "mp07", "4x", ""])
def test_short_words_and_numbers_are_not_corrected(word: str) -> None:
    assert Spelling([("red", 1), ("mp08", 1), ("42", 1)]).neighbours(word) == []


def test_synonyms_are_alternatives_of_a_whole_phrase() -> None:
    assert units_of("Crimson T-Shirts", SYNONYMS, KNOWN) == [
        Unit(("crimson",), 1.0, ((("red",), 0.7),)),
        Unit(("t", "shirt"), 1.0, ((("tee",), 1.0),)),
    ]


def test_a_synonym_that_holds_the_words_themselves_adds_nothing_and_the_higher_weight_holds() -> None:
    assert units_of("navy", SYNONYMS, KNOWN) == [Unit(("navy",), 1.0, ((("dark", "blue"), 0.7),))]


def test_a_corrected_word_counts_less_and_has_synonyms_too() -> None:
    assert units_of("crimsn", SYNONYMS, KNOWN) == [Unit(("crimson",), CORRECTED, ((("red",), CORRECTED * 0.7),))]
    assert units_of("shrt", {}, KNOWN) == [Unit(("short",), CORRECTED, ((("shirt",), CORRECTED),))]


@pytest.mark.parametrize("text", ["", "the of with", "?!", " — "])
def test_a_query_of_function_words_or_signs_has_no_unit(text: str) -> None:
    assert units_of(text, SYNONYMS, KNOWN) == []
