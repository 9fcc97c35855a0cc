"""Text search in a bundle: by vectors, by words and by both; filters, fallbacks and missing parts."""

import dataclasses
import json
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skufp
from skufp.artifacts.products import write_products
from skufp.errors import UserError
from skufp.retrieval.words.fusion import fuse
from skufp.retrieval.words.query import make_synonyms
from skufp.serve.answer import Answer
from skufp.serve.assembly import Sources, assemble
from skufp.serve.bundle import Bundle
from skufp.serve.parts import MissingPartError

SYNONYMS = make_synonyms([("crimson", "red", 0.7)])


def one(found: Any) -> Answer:
    assert isinstance(found, Answer)
    return found


@pytest.fixture(scope="module")
def bundle(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose index has synonyms, opened from a folder that cannot be written."""
    folder = tmp_path_factory.mktemp("text") / "bundle"
    assemble(dataclasses.replace(sources, synonyms=SYNONYMS, word_weight=0.6), folder)
    for path in (*folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return skufp.open(folder)


def test_hybrid_is_the_default_and_fuses_as_by_hand(bundle: Bundle) -> None:
    answer = one(bundle.search(text="red top", top_k=12))
    assert answer.mode == "hybrid"
    cosines = np.asarray(bundle.parts.skus.vectors) @ bundle.engine.embed_text("red top")
    words = bundle.parts.word_index.search("red top")
    assert words is not None
    scores = fuse(cosines, words.scores, 0.6)
    assert [r.number for r in answer] == np.argsort(-scores, kind="stable").tolist()
    np.testing.assert_allclose([r.score for r in answer], np.sort(scores)[::-1], atol=1e-5)
    assert {r.fields["Color"].casefold() for r in list(answer)[:3]} == {"red"}


def test_words_find_only_skus_that_have_one_of_them(bundle: Bundle) -> None:
    answer = one(bundle.search(text="red", top_k=12, mode="words"))
    assert answer.mode == "words"
    assert [r.fields["Color"].casefold() for r in answer] == ["red"] * len(answer)
    assert 0 < len(answer) < 12
    assert max(r.score for r in answer) == pytest.approx(1)
    assert answer[0].view.score is None
    assert answer[0].thumbnail


def test_vectors_alone_are_scored_by_cosines(bundle: Bundle) -> None:
    answer = one(bundle.search(text="red", top_k=12, mode="vector"))
    cosines = np.asarray(bundle.parts.skus.vectors) @ bundle.engine.embed_text("red")
    np.testing.assert_allclose([r.score for r in answer], np.sort(cosines)[::-1], atol=1e-5)
    assert answer.mode == "vector"


@pytest.mark.parametrize("mode", ["hybrid", "words"])
@pytest.mark.parametrize("text", ["RED!", "crimson", "the réd"])
def test_case_synonyms_and_accents_find_the_same_skus(bundle: Bundle, mode: str, text: str) -> None:
    red = {r.sku for r in one(bundle.search(text="red", top_k=12, mode="words"))}
    assert {r.sku for r in list(one(bundle.search(text=text, mode=mode)))[: len(red)]} <= red


@pytest.mark.parametrize("mode", ["hybrid", "words", "vector"])
def test_a_filter_holds_in_every_mode(bundle: Bundle, mode: str) -> None:
    answer = one(bundle.search(text="red top", top_k=3, filter={"colour": "blue"}, mode=mode))
    assert len(answer) == 3
    assert all("blue" in r.fields["Color"].casefold() or "blue" in str(r.attributes) for r in answer)
    assert [r.rank for r in answer] == [1, 2, 3]


def test_a_text_without_a_known_word_is_answered_by_vectors_alone(bundle: Bundle) -> None:
    answer, by_vectors = one(bundle.search(text="zeppelin")), one(bundle.search(text="zeppelin", mode="vector"))
    assert answer.mode == "vector"
    assert [(r.sku, r.score) for r in answer] == [(r.sku, r.score) for r in by_vectors]
    assert len(one(bundle.search(text="zeppelin", mode="words"))) == 0


def test_attributes_read_off_photos_are_words_too(bundle: Bundle) -> None:
    assert all(r.attributes.get("fit") == "loose" for r in one(bundle.search(text="loose", mode="words")))


def test_where_no_sku_has_words_there_is_no_part_and_vectors_answer(sources: Sources, tmp_path: Path) -> None:
    bare = tmp_path / "prepare"
    bare.mkdir()
    write_products(bare, [])
    for path in sources.stages["prepare"].glob("*.png"):
        os.link(path, bare / path.name)
    stages = {**sources.stages, "prepare": bare}
    del stages["attributes"]
    without = dataclasses.replace(sources, stages=stages, facts={})
    assemble(without, tmp_path / "bundle", leave_out=["word_index"])
    bundle = skufp.open(tmp_path / "bundle")
    assert one(bundle.search(text="red top")).mode == "vector"
    for mode in ("hybrid", "words"):
        with pytest.raises(MissingPartError, match=r"the part 'word_index' .*stages\.bundle\.attributes=true"):
            bundle.search(text="red top", mode=mode)


def test_an_encoder_without_words_leaves_texts_to_the_index(sources: Sources, tmp_path: Path) -> None:
    assemble(dataclasses.replace(sources, knows_words=False), tmp_path / "bundle")
    bundle = skufp.open(tmp_path / "bundle")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(bundle.search(text="red top")).mode == "words"
    with pytest.warns(UserWarning, match="has learnt no words"):
        assert one(bundle.search(text="zeppelin")).mode == "vector"


def test_without_an_encoder_words_answer(sources: Sources, tmp_path: Path) -> None:
    assemble(sources, tmp_path / "bundle", leave_out=["encoder"])
    bundle = skufp.open(tmp_path / "bundle")
    assert one(bundle.search(text="blue and nothing else")).mode == "words"
    with pytest.raises(MissingPartError, match="the part 'encoder'"):
        bundle.search(text="blue and nothing else", mode="vector")


def test_an_unknown_mode_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UserError, match=r"mode=word: there is no such mode\. Did you mean 'words'\?"):
        bundle.search(text="red", mode="word")


def test_an_index_of_other_skus_is_refused(sources: Sources, tmp_path: Path) -> None:
    assemble(sources, tmp_path / "bundle")
    about = tmp_path / "bundle" / "word_index" / "words.json"
    changed = about.read_text().replace('"skus": 12', '"skus": 11')
    assert json.loads(changed)["skus"] == 11
    about.write_text(changed)
    with pytest.raises(UserError, match="holds 11 SKUs and the table 12"):
        skufp.open(tmp_path / "bundle").search(text="red")
