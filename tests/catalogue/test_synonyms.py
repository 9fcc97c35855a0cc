"""Synonyms out of the shipped lists: names and their other spellings, and the lexicon's variants."""

from pathlib import Path

import pytest
import yaml

from skufp.catalogue.lexicon import load_lexicon
from skufp.catalogue.synonyms import NEARLY, SAME, synonym_pairs
from skufp.catalogue.vocabulary import Vocabulary
from skufp.retrieval.words.query import LONGEST, Synonyms, make_synonyms

LISTS = Path(__file__).resolve().parents[2] / "conf" / "vocabulary" / "starter.lists.yml"


@pytest.fixture(scope="module")
def synonyms() -> Synonyms:
    vocabulary = Vocabulary.of(yaml.safe_load(LISTS.read_text(encoding="utf-8")))
    return make_synonyms(synonym_pairs(vocabulary, load_lexicon("en")))


def test_a_name_and_its_other_spellings_stand_for_each_other(synonyms: Synonyms) -> None:
    assert (("burgundy",), NEARLY) in synonyms[("red",)]
    assert (("red",), NEARLY) in synonyms[("burgundy",)]
    assert (("crimson",), NEARLY) not in synonyms[("burgundy",)]  # both are reds; neither is the other


def test_variants_say_the_same(synonyms: Synonyms) -> None:
    assert (("gray",), SAME) in synonyms[("grey",)]
    assert (("tee",), SAME) in synonyms[("t", "shirt")]
    assert (("tshirt",), SAME) in synonyms[("tee",)]


def test_places_in_a_shop_s_tree_are_no_synonyms(synonyms: Synonyms) -> None:
    assert all(phrase != ("men", "bottom", "pant") for own in synonyms.values() for phrase, _ in own)
    assert all(len(phrase) <= LONGEST for phrase in synonyms)
