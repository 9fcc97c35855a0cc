"""The word index against BM25 by hand, its edges, and its folder."""

import math
from pathlib import Path

import numpy as np
import pytest

from skufp.retrieval.words.index import K1, B, WordIndex
from skufp.retrieval.words.query import make_synonyms
from skufp.retrieval.words.terms import terms_of

DOCUMENTS = [
    [("red cotton shirt", 3), ("A shirt for long days in the sun", 1)],
    [("blue cotton dress", 3)],
    [("red dress", 3), ("long", 1)],
    [("", 3)],
    [("burgundy skirt", 3), ("red lining", 1)],
]


def by_hand(documents: list[list[tuple[str, int]]], query: str) -> np.ndarray:
    """BM25 as in Lucene, with a double loop over SKUs and terms."""
    counted = [[term for text, weight in own for term in terms_of(text) * weight] for own in documents]
    mean = sum(map(len, counted)) / len(counted)
    scores = np.zeros(len(counted))
    for i, terms in enumerate(counted):
        for term in terms_of(query):
            having = sum(term in other for other in counted)
            often = terms.count(term)
            if often:
                rarity = math.log(1 + (len(counted) - having + 0.5) / (having + 0.5))
                scores[i] += rarity * often / (often + K1 * (1 - B + B * len(terms) / mean))
    return scores


def found(index: WordIndex, text: str) -> np.ndarray:
    scores = index.search(text)
    assert scores is not None
    return scores.scores


@pytest.mark.parametrize("query", ["red", "red shirt", "long red dresses", "cotton shirt burgundy", "red red shirt"])
def test_scores_are_those_of_bm25_by_hand(query: str) -> None:
    index, expected = WordIndex.build(DOCUMENTS), by_hand(DOCUMENTS, query)
    best = sum(by_hand(DOCUMENTS, term).max() for term in terms_of(query))
    np.testing.assert_allclose(found(index, query), expected / best, rtol=1e-5)


def test_random_documents_score_as_by_hand() -> None:
    rng = np.random.default_rng(0)
    documents = [[(" ".join(f"w{i}" for i in rng.integers(0, 30, rng.integers(1, 20))), 1)] for _ in range(60)]
    index = WordIndex.build(documents)
    for _ in range(10):
        query = " ".join(f"w{i}" for i in rng.integers(0, 30, 4))
        expected = by_hand(documents, query)
        np.testing.assert_allclose(
            found(index, query) / found(index, query).max(), expected / expected.max(), rtol=1e-4
        )


def test_word_order_case_accents_and_plurals_change_nothing() -> None:
    index = WordIndex.build(DOCUMENTS)
    for other in ("shirt red cotton", "RED Cotton-Shirts!", "réd  cotton, shirt", "the red cotton shirt, please"):
        np.testing.assert_array_equal(found(index, other), found(index, "red cotton shirt"))


def test_one_typo_finds_the_same_skus_first() -> None:
    index = WordIndex.build(DOCUMENTS)
    for typo in ("cottn dress", "coton dress", "cootton dress", "cotton drses", "kotton dress"):
        assert found(index, typo).argmax() == 1


def test_a_synonym_counts_its_weight_and_less_than_the_word_itself() -> None:
    plain = WordIndex.build(DOCUMENTS)
    synonyms = make_synonyms([("red", "burgundy", 0.5), ("wine red", "burgundy", 0.5)])
    index = WordIndex.build(DOCUMENTS, synonyms)
    both = np.maximum(by_hand(DOCUMENTS, "red"), 0.5 * by_hand(DOCUMENTS, "burgundy"))
    np.testing.assert_allclose(found(index, "red"), both / both.max(), rtol=1e-5)
    phrase = np.maximum(by_hand(DOCUMENTS, "wine red"), 2 * 0.5 * by_hand(DOCUMENTS, "burgundy"))
    np.testing.assert_allclose(found(index, "wine red"), phrase / phrase.max(), rtol=1e-5)
    assert plain.search("crimson") is None


def test_a_phrase_stands_for_a_word_only_as_a_whole() -> None:
    documents = [[("dark blue shirt", 1)], [("dark shirt", 1)], [("blue shirt", 1)]]
    index = WordIndex.build(documents, make_synonyms([("navy", "dark blue", 0.7)]))
    assert (found(index, "navy") > 0).tolist() == [True, False, False]


def test_unknown_words_lower_what_words_count() -> None:
    index = WordIndex.build(DOCUMENTS)
    half, whole = index.search("red zeppelin"), index.search("red")
    assert half is not None
    assert whole is not None
    assert (half.known, whole.known) == (0.5, 1.0)
    np.testing.assert_allclose(half.scores, whole.scores / 2)


@pytest.mark.parametrize("query", ["", "the with of", "?! …", "zeppelin", "42"])
def test_a_query_without_a_known_word_finds_nothing(query: str) -> None:
    assert WordIndex.build(DOCUMENTS).search(query) is None


def test_empty_catalogues_and_skus_without_words(tmp_path: Path) -> None:
    for documents in ([], [[]], [[("", 1)], [("?!", 3)]]):
        index = WordIndex.build(documents)
        assert index.empty
        assert index.search("red shirt") is None
        index.save(tmp_path)
        assert WordIndex.load(tmp_path).search("red shirt") is None


def test_a_catalogue_of_one_sku() -> None:
    index = WordIndex.build([[("red shirt", 1)]])
    assert found(index, "shrit").tolist() == [1.0]
    assert index.search("blue") is None


def test_scripts_other_than_latin_are_found() -> None:
    index = WordIndex.build([[("赤いドレス", 1)], [("красное платье", 1)], [("लाल कपड़ा", 1)], [("👗", 1)]])
    for query, sku in (("ドレス", 0), ("赤", 0), ("ПЛАТЬЕ", 1), ("लाल", 2), ("👗", 3)):
        assert found(index, query).nonzero()[0].tolist() == [sku]


def test_a_loaded_index_is_mapped_read_only_and_answers_the_same(tmp_path: Path) -> None:
    index = WordIndex.build(DOCUMENTS, make_synonyms([("red", "burgundy", 0.7), ("t-shirt", "shirt", 1.0)]))
    index.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    loaded = WordIndex.load(tmp_path)
    assert isinstance(loaded.data, np.memmap)
    assert not loaded.data.flags.writeable
    assert loaded.synonyms == index.synonyms
    for query in ("red", "tshirt red", "t-shirt", "coton"):
        np.testing.assert_array_equal(found(loaded, query), found(index, query))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_holders_have_every_word() -> None:
    index = WordIndex.build(DOCUMENTS)
    assert index.holders("red shirts").tolist() == [True, False, False, False, False]
    assert index.holders("red zeppelin").sum() == 0
