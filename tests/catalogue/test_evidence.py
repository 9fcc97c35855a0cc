"""What pictures say: prompts answered by hand-placed vectors, pixels, labels, and readers fitted on them."""

import numpy as np
import pytest

from skufp.catalogue.attributes import Reader
from skufp.catalogue.evidence import (
    Evidence,
    Pictures,
    PromptVectors,
    Teaching,
    accepted,
    askable,
    category_evidence,
    choose_category,
    fit_reader,
    gather,
    labels_of,
)
from skufp.catalogue.scoring import FEWEST
from skufp.catalogue.vocabulary import Vocabulary

AXES = {"red": 0, "blue": 1, "top": 2, "skirt": 3, "short": 4, "long": 5}


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.of({
        "attributes": {
            "colour": {"prompts": ["a {value} {category}"], "values": {"red": {}, "blue": {}}},
            "skirt_length": {"name": "length", "prompts": ["{value}"], "values": {"short": {}, "long": {}}},
        },
        "categories": {
            "top": {"attributes": ["colour"]},
            "skirt": {"attributes": ["colour", "skirt_length"]},
            "garment": {"attributes": ["colour"]},
        },
        "category_prompts": ["a {category}"],
    })  # fmt: skip


def encode(texts: list[str]) -> np.ndarray:
    """A text's vector is the sum of the axes of its words."""
    return np.array([np.eye(6)[[AXES[w] for w in text.split() if w in AXES]].sum(axis=0) for text in texts])


def unit(*words: str) -> np.ndarray:
    vector = encode([" ".join(words)])[0]
    return vector / np.linalg.norm(vector)


def test_a_prompt_is_encoded_once_and_garment_is_not_asked_for(vocabulary: Vocabulary) -> None:
    asked: list[str] = []
    prompts = PromptVectors(vocabulary, lambda texts: encode(asked.__iadd__(texts) and texts))
    colour, top = vocabulary.attributes["colour"], vocabulary.categories["top"]
    np.testing.assert_allclose(prompts.values(colour, top), [unit("red", "top"), unit("blue", "top")], atol=1e-6)
    prompts.values(colour, top)
    assert asked == ["a red top", "a blue top"]
    assert prompts.categories().shape == (2, 6)
    assert askable(vocabulary) == ["top", "skirt"]
    assert "a garment" not in asked


def test_every_attribute_is_asked_of_the_products_whose_category_has_it(vocabulary: Vocabulary) -> None:
    views = np.stack([unit("red", "top"), unit("red", "skirt", "long"), unit("blue", "skirt"), unit("skirt", "short")])
    pictures = Pictures(views, np.array([0, 1, 2, 2]), 3)
    prompts = PromptVectors(vocabulary, encode)
    categories = [vocabulary.categories[name] for name in ("top", "skirt", "skirt")]
    found = gather(prompts, pictures, categories)
    assert found["colour"].rows.tolist() == [0, 1, 2]
    assert found["skirt_length"].rows.tolist() == [1, 2]
    for row, (name, category) in enumerate(zip(("red", "red", "blue"), categories, strict=True)):
        expected = [views[pictures.product_of_view == row] @ unit(v, category.name) for v in ("red", "blue")]
        np.testing.assert_allclose(found["colour"].scores[row], [np.mean(e) for e in expected], atol=1e-6)
        assert ("red", "blue")[found["colour"].scores[row].argmax()] == name
    assert found["skirt_length"].scores.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(np.linalg.norm(pictures.embeddings, axis=1), 1)
    assert category_evidence(prompts, pictures).scores.argmax(axis=1).tolist() == [0, 1, 1]


def test_the_pictures_of_some_products_are_theirs_alone() -> None:
    views = np.eye(4, dtype=np.float32)
    pictures = Pictures(views, np.array([2, 0, 1, 2]), 3, np.array([[0.1], [0.2], [0.3], [0.4]]))
    part = pictures.of(np.array([2, 0]))
    assert part.products == 2
    assert part.product_of_view.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(part.views, views[[0, 1, 3]])
    np.testing.assert_array_equal(part.shares, [[0.1], [0.2], [0.4]])
    np.testing.assert_array_equal(part.scores(views), pictures.scores(views)[[2, 0]])


def test_pixels_speak_of_colour_alone(vocabulary: Vocabulary) -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    pictures = Pictures(np.stack([unit("top")] * 3), np.array([0, 1, 1]), 2, shares)
    found = gather(PromptVectors(vocabulary, encode), pictures, [vocabulary.categories["skirt"]] * 2)
    assert found["skirt_length"].pixels is None
    np.testing.assert_allclose(np.exp(found["colour"].pixels), [[0.9, 0.1], [0.3, 0.7]])


def labelled(vocabulary: Vocabulary, count: int) -> tuple[Evidence, list[str | None]]:
    """Evidence that is right about all products but one in ten."""
    rng = np.random.default_rng(0)
    colour = vocabulary.attributes["colour"]
    truth = rng.integers(0, 2, count)
    seen = np.where(np.arange(count) % 10 == 9, 1 - truth, truth)
    scores = np.eye(2)[seen] * 0.1 + rng.normal(0, 0.001, (count, 2))
    embeddings = np.eye(2)[truth] + rng.normal(0, 0.1, (count, 2))
    evidence = Evidence(colour, np.arange(count), scores, None, embeddings)
    return evidence, [colour.values[i] for i in truth]


def test_a_reader_is_calibrated_where_there_are_labels_enough(vocabulary: Vocabulary) -> None:
    evidence, labels = labelled(vocabulary, 200)
    one_group = ["same"] * 200  # nothing to leave out, so no probe
    reader, said = fit_reader(evidence, labels, one_group, Teaching(0.85, 0.6))
    assert reader.labels == 200
    assert np.exp(said.max(axis=1)).mean() == pytest.approx(0.9, abs=0.01)  # what it gets right
    few = [label if i < FEWEST - 1 else None for i, label in enumerate(labels)]
    assert fit_reader(evidence, few, one_group, Teaching(0.85, 0.6))[0] == Reader(threshold=0.6)


def test_a_probe_is_asked_where_it_knows_more_than_prompts(vocabulary: Vocabulary) -> None:
    evidence, labels = labelled(vocabulary, 60)
    groups = [str(i) for i in range(60)]
    some = [label if i % 2 else None for i, label in enumerate(labels)]
    reader, said = fit_reader(evidence, some, groups, Teaching(0.9))
    assert reader.probe is not None
    found = accepted(evidence, reader, said)
    assert [value.value for value in found.values() if value] == [labels[row] for row, v in found.items() if v]
    assert sum(v is not None for v in found.values()) > 55
    knows = Evidence(evidence.attribute, evidence.rows, evidence.embeddings, None, evidence.scores)
    assert fit_reader(knows, some, groups, Teaching(0.9))[0].probe is None
    assert fit_reader(knows, some, groups, Teaching(0.9), must_probe=True)[0].probe is not None


def test_a_probe_is_judged_and_read_by_what_it_says_of_products_that_it_did_not_see(vocabulary: Vocabulary) -> None:
    """In 62 dimensions of noise for 120 products a probe learns all of them by heart, and three in four of others."""
    count, rng = 120, np.random.default_rng(3)
    colour, truth = vocabulary.attributes["colour"], rng.integers(0, 2, count)
    embeddings = np.concatenate([0.5 * np.eye(2)[truth], rng.normal(size=(count, 60))], axis=1)
    seen = np.where(np.arange(count) % 6 == 0, 1 - truth, truth)  # prompts are right about five in six
    evidence = Evidence(colour, np.arange(count), np.eye(2)[seen] * 0.1, None, embeddings)
    labels, groups = [colour.values[i] for i in truth], [str(i) for i in range(count)]
    assert fit_reader(evidence, labels, groups, Teaching(0.8))[0].probe is None
    reader, said = fit_reader(evidence, labels, groups, Teaching(0.8), must_probe=True)
    assert (evidence.read(reader).argmax(axis=1) == truth).all()
    assert 0.65 < (said.argmax(axis=1) == truth).mean() < 0.8


def test_without_labels_only_words_that_the_encoder_knows_are_said(vocabulary: Vocabulary) -> None:
    evidence, _ = labelled(vocabulary, 5)
    none = [None] * 5
    assert np.isfinite(fit_reader(evidence, none, none, Teaching(zero_shot=True))[0].threshold)
    silent = fit_reader(evidence, none, none, Teaching(zero_shot=False))
    assert not any(accepted(evidence, *silent).values())
    pixels = np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.9, 0.1], [0.3, 0.7]]))
    seen = Evidence(evidence.attribute, evidence.rows, evidence.scores, pixels, evidence.embeddings)
    found = accepted(seen, *fit_reader(seen, none, none, Teaching(zero_shot=False)))
    assert [v.value if v else None for v in found.values()] == ["red", "blue", None, "red", "blue"]
    assert {v.source for v in found.values() if v} == {"pixels"}


def test_who_cannot_be_told_is_a_garment(vocabulary: Vocabulary) -> None:
    pictures = Pictures(np.stack([unit("top"), unit("top", "skirt")]), np.arange(2), 2)
    evidence = category_evidence(PromptVectors(vocabulary, encode), pictures)
    reader = Reader(threshold=0.6)
    chosen = choose_category(vocabulary, evidence, reader, evidence.read(reader))
    assert [value.value for value in chosen] == ["top", "garment"]
    assert chosen[1].confidence == 0


def test_tables_of_people_say_nothing_where_they_are_empty() -> None:
    values = {"a": {"colour": "red"}, "b": {"colour": ""}}
    assert labels_of(values, ["a", "b", "c"], "colour") == ["red", None, None]
