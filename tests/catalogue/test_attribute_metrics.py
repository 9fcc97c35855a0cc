import pytest

from skufp.catalogue.attribute_metrics import completeness, majority, score
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.vocabulary import Vocabulary


def test_scores_by_hand():
    labels = [["a"], ["a"], ["a"], ["b"], ["b"], []]
    got = score(["a", "b", None, "b", "c", "a"], labels)
    # a: 1 said, 3 true, 1 hit: F1 2/4. b: 2 said, 2 true, 1 hit: F1 2/4. c never occurs among the labels.
    assert got.labelled == 5
    assert got.coverage == pytest.approx(4 / 5)
    assert got.precision == pytest.approx(2 / 4)
    assert got.accuracy == pytest.approx(2 / 5)
    assert got.macro_f1 == pytest.approx((2 / 4 + 2 / 4) / 2)


def test_any_of_several_labels_is_right_and_a_miss_is_the_main_one_s():
    got = score(["wool", "silk"], [["cotton", "wool"], ["cotton", "wool"]])
    # wool: hit 1 of 1 said and 1 true; cotton: missed once.
    assert got.precision == pytest.approx(0.5)
    assert got.macro_f1 == pytest.approx((1 + 0) / 2)


def test_majority_says_the_most_frequent_label_of_train():
    value, got = majority([["a"], ["b"], ["a"]], [["a"], ["b"], ["b"], ["b"]])
    assert value == "a"
    assert (got.coverage, got.precision) == (1.0, 0.25)
    assert got.macro_f1 == pytest.approx((2 * 1 / (4 + 1) + 0) / 2)
    assert majority([[]], [["a"]])[0] is None


def test_no_labels_and_no_answers_divide_by_nothing():
    assert score(["a"], [[]]).labelled == 0
    assert score([None], [["a"]]).precision == 0.0


def test_completeness_by_hand():
    vocabulary = Vocabulary.of({
        "attributes": {
            name: {"also": also, "values": {"x": {}}}
            for name, also in (("colour", ["color"]), ("fabric", ["material"]), ("fit", []), ("sleeve", []))
        },
        "categories": {"top": {"attributes": ["colour", "fabric", "fit", "sleeve"]}, "hat": {"attributes": ["colour"]}},
    })  # fmt: skip
    top = Facts(
        "1", "top",
        {"colour": Value("x", 1, "manifest"), "fit": Value("x", 0.9, "prompt"), "sleeve": Value("x", 1, "override")},
        {"title": "T", "Color": "x", "Material": "unheard of", "sleeve": "x", "note": "not in the schema"},
    )  # fmt: skip
    hat = Facts("2", "hat", {}, {"brand": "  "})
    got = completeness([top, hat], vocabulary, ["title", "brand"], ["title", "description"])
    # Schemas: top 3 + 4, hat 3 + 1. Before: title, Color, Material, sleeve. After: + fit, 3 written texts.
    assert (got.products, got.fields) == (2, 11)
    assert got.before == pytest.approx(4 / 11)
    assert got.after == pytest.approx(8 / 11)
    assert got.filled == {"manifest": 3, "override": 1, "evidence": 1, "copy": 3}


def test_completeness_of_nothing():
    vocabulary = Vocabulary.of({"attributes": {"a": {"values": {"x": {}}}}, "categories": {"c": {"attributes": ["a"]}}})
    assert completeness([], vocabulary, ["title"]).after == 0.0
