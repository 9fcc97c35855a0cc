"""The confidence of an answer: the judge of the bundle, on the scores of all SKUs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import skufp
from skufp.retrieval.confidence.evidence import evidence
from skufp.retrieval.confidence.verdict import Judge
from skufp.serve.assembly import Sources, assemble


def photo(sources: Sources, name: str = "validation-s0-1.png") -> Image.Image:
    return Image.open(sources.stages["prepare"] / name).convert("RGB")


@pytest.mark.parametrize("top_k", [1, 5, 12])
def test_it_is_the_judge_s_whatever_top_k(sources: Sources, whole: Path, top_k: int) -> None:
    bundle = skufp.open(whole)
    picture = photo(sources)
    answer: Any = bundle.search(image=picture, top_k=top_k)
    query, vectors = bundle.engine.embed_photo(picture), np.asarray(bundle.parts.skus.vectors)
    scores = vectors @ query
    order = np.argsort(-scores)
    features = evidence(scores[order][None], order[None], np.arange(12), scores[None])  # each SKU a design of its own
    judge: Judge = bundle.parts.judges["photo"]
    (expected,) = judge.judge(features)
    assert answer.confidence.verdict == expected.verdict
    assert answer.confidence.in_catalogue == pytest.approx(expected.in_catalogue, abs=1e-4)
    assert answer.confidence.first_is_it == pytest.approx(expected.first_is_it, abs=1e-4)
    assert len(answer) == top_k


def test_texts_have_none_where_no_judge_was_learnt_for_them(whole: Path) -> None:
    answer: Any = skufp.open(whole).search(text="a red top")
    assert answer.confidence is None


def test_a_bundle_without_it_answers_as_before(sources: Sources, whole: Path, tmp_path: Path) -> None:
    assemble(sources, tmp_path / "bundle", leave_out=["confidence"])
    answers: list[Any] = [skufp.open(folder).search(image=photo(sources)) for folder in (whole, tmp_path / "bundle")]
    with_it, without = answers
    assert without.confidence is None
    assert with_it.confidence is not None
    assert [(r.sku, r.score) for r in with_it] == [(r.sku, r.score) for r in without]
