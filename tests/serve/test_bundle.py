"""skufp.open over a small catalogue, against scores computed one by one."""

import dataclasses
import io
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import skufp
from skufp import search_similar
from skufp.artifacts.sku_ids import public_ids
from skufp.catalogue.vocabulary import Vocabulary
from skufp.errors import UserError
from skufp.models.aggregators.folder import META
from skufp.modules.encoder_folder import load_encoder
from skufp.serve.answer import Answer
from skufp.serve.assembly import Sources, assemble

Brute = Callable[..., list[tuple[str, float]]]
# As conftest.py makes them.
KEYS = [("validation", f"s{i}") for i in range(6)] + [("test", f"s{i}") for i in range(4, 10)]
COLOURS, VIEWS = ("red", "green", "blue"), 3
IDS = dict(zip(("/".join(key) for key in KEYS), public_ids(KEYS), strict=True))


def crop(sources: Sources, number: int, view: int = 0) -> Path:
    split, sku = KEYS[number]
    return sources.stages["prepare"] / f"{split}-{sku}-{view}.png"


def vector_of(sources: Sources, path: Path) -> np.ndarray:
    encoder = load_encoder(sources.encoder)
    with torch.inference_mode():
        pixels = torch.from_numpy(encoder.preprocessing(Image.open(path).convert("RGB")))[None]
        vector: np.ndarray = encoder.encode_image(pixels)[0].numpy()
    return vector


def one(found: Any) -> Answer:
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize("views", [False, True], ids=["fingerprints", "views"])
def test_answers_are_those_of_brute_force(
    make_sources: Any, brute: Brute, tmp_path: Path, sources: Sources, views: bool
) -> None:
    made = make_sources(views=views) if views else sources
    assemble(made, tmp_path / "bundle")
    path, bundle = crop(made, 7, 1), skufp.open(tmp_path / "bundle")
    query = vector_of(made, path)
    expected = brute(query, views)[:8]
    found = one(bundle.search(image=path, top_k=8))
    assert [result.sku for result in found] == [IDS[key] for key, _ in expected]
    assert [result.score for result in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert [result.rank for result in found] == list(range(1, 9))
    assert (found.action, found.edited, found.predicted_gain, found.allowed) == ("identity", None, None, None)
    for result in found:
        number = KEYS.index((result.split, result.sku_id))
        own = [float(vector_of(made, crop(made, number, view)) @ query) for view in range(VIEWS)]
        assert result.view.view_id == f"{result.sku_id}-{int(np.argmax(own))}"
        assert result.view.score == pytest.approx(max(own), abs=1e-5)


def test_a_text_is_answered_by_its_own_vector(whole: Path, sources: Sources, brute: Brute) -> None:
    encoder = load_encoder(sources.encoder)
    with torch.inference_mode():
        query = encoder.encode_text(["navy tee"])[0].numpy()
    found = one(skufp.open(whole).search(text="navy tee", top_k=4))
    assert [result.sku for result in found] == [IDS[key] for key, _ in brute(query)[:4]]
    assert found.text == "navy tee"


def test_ids_are_unique_though_splits_share_them(whole: Path) -> None:
    bundle = skufp.open(str(whole))
    found = one(bundle.search(text="top", top_k=99))
    ids = Counter(result.sku for result in found)
    assert set(ids.values()) == {1}
    assert set(ids) == {"s0", "s1", "s2", "s3", "validation/s4", "validation/s5", "test/s4", "test/s5",
                        "s6", "s7", "s8", "s9"}  # fmt: skip
    assert len(bundle) == 12


def test_results_carry_fields_attributes_and_a_thumbnail_of_the_best_view(whole: Path, sources: Sources) -> None:
    bundle = skufp.open(whole)
    found = {result.sku: result for result in one(bundle.search(image=crop(sources, 0), top_k=99))}
    assert (found["s1"].fields, found["s0"].fields) == (
        {"Color": "green", "price": "1"},
        {"Color": "red", "price": "0"},
    )
    assert (found["s1"].attributes, found["s0"].attributes) == ({"fit": "loose"}, {"colour": "blue"})
    for sku, key in (("test/s4", ("test", "s4")), ("validation/s4", ("validation", "s4"))):
        result = found[sku]
        path = crop(sources, KEYS.index(key), int(result.view.view_id[-1]))
        assert result.view.image_path == path.name
        small = Image.open(io.BytesIO(result.thumbnail))
        assert (small.format, small.size, result.picture.size) == ("JPEG", (115, 144), (115, 144))
        mean = np.asarray(Image.open(path), float).mean(axis=(0, 1))
        np.testing.assert_allclose(np.asarray(small, float).mean(axis=(0, 1)), mean, atol=3)


def test_several_queries_at_once_are_answered_as_one_at_a_time(whole: Path, sources: Sources) -> None:
    bundle = skufp.open(whole)
    paths, texts = [crop(sources, number) for number in range(5)], ["red tee", "a long skirt of wool", "x"]
    alone = [bundle.search(image=path) for path in paths] + [bundle.search(text=text) for text in texts]
    together = bundle.search(image=paths, text=texts)
    assert together == alone  # to the last digit of every score
    assert bundle.search(image=paths[:1]) == alone[:1]
    assert bundle.search(text=[]) == []
    assert bundle.search(image=paths[0], text=texts[0]) == [alone[0], alone[5]]


def test_a_photo_may_come_in_any_form(whole: Path, sources: Sources) -> None:
    bundle, path = skufp.open(whole), crop(sources, 3, 2)
    opened = Image.open(path)
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), opened, np.asarray(opened)]
    first, *others = bundle.search(image=forms, top_k=99)
    assert all(other == first for other in others)
    assert max(result.view.score for result in first) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "nothing to search for"),
        ({"text": "  "}, "text to search for is empty"),
        ({"text": ["a", "?! …"]}, r"has no words \('\?! …'\)"),
        ({"text": 3}, "text: int is no text"),
        ({"text": ["a", None]}, "text: NoneType is no text"),
        ({"image": "red top"}, r"red top: image file is missing .* a text goes to search\(text=…\)"),
        ({"image": b"not a photo"}, "not an image"),
        ({"image": b""}, "zero-byte image"),
        ({"image": np.zeros((8, 8, 3))}, r"float64 \[8, 8, 3\].*uint8 \[height, width, 3\]"),
        ({"image": np.zeros((8, 8), np.uint8)}, r"uint8 \[8, 8\]"),
        ({"image": np.zeros((2, 8, 8, 3), np.uint8)}, "several photos go into a list"),
        ({"image": 3.0}, "image: float is no photo"),
        ({"text": "a", "top_k": 0}, "top_k=0"),
        ({"text": "a", "top_k": 2.5}, r"top_k=2\.5"),
        ({"text": "a", "top_k": "5"}, "top_k='5'"),
        ({"text": "a", "top_k": True}, "top_k=True"),
        ({"text": "a", "filter": "red"}, r"filter='red': give names with values"),
        ({"text": "a", "filter": ["red"]}, "give names with values"),
        ({"text": "a", "filter": {"colour": []}}, r"filter\.colour has no value"),
        ({"text": "a", "filter": {"colour": None}}, r"filter\.colour has no value"),
        ({"text": "a", "filter": {"colour": {"red": 1}}}, r"filter\.colour has no value"),
        ({"text": "a", "filter": {"colr": "red"}}, r"filter\.colr: .*Did you mean 'colo"),
        ({"text": "a", "filter": {"colour": "rod"}}, r"filter\.colour=rod: .*Did you mean 'red'"),
        ({"text": "a", "filter": {"colour": "red", "price": "1"}}, "fits all of filter"),
    ],
)
def test_a_query_that_is_none_says_what_to_change(whole: Path, query: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        skufp.open(whole).search(**query)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"colour": "green"}, [1, 4, 7, 10]),
        ({"Color": ["green", "BLUE"]}, [1, 2, 4, 5, 7, 8, 10, 11]),
        ({"colour": "red"}, [3, 6, 9]),  # a person says that s0, red in the manifest, is blue
        ({"colour": "blue"}, [0, 2, 5, 8, 11]),
        ({"fit": "loose", "price": 7}, [7]),
        ({"colour": {"green"}, "price": range(1, 5)}, [1, 4]),
        ({}, list(range(12))),
    ],
)
def test_a_filter_leaves_the_order_of_those_that_fit(
    whole: Path, sources: Sources, brute: Brute, wanted: dict[str, Any], fits: list[int]
) -> None:
    query = vector_of(sources, crop(sources, 5))
    allowed = {"/".join(KEYS[number]) for number in fits}
    expected = [key for key, _ in brute(query) if key in allowed][:4]
    found = one(skufp.open(whole).search(image=crop(sources, 5), top_k=4, filter=wanted))
    assert [result.sku for result in found] == [IDS[key] for key in expected]
    assert found.allowed == (len(fits) if wanted else None)


def test_numbers_and_symbols_of_other_kinds_are_taken(whole: Path) -> None:
    bundle = skufp.open(whole)
    assert len(one(bundle.search(text="👗", top_k=np.int64(3)))) == 3


def test_a_text_says_where_the_encoder_has_learnt_no_words(sources: Sources, whole: Path, tmp_path: Path) -> None:
    assemble(dataclasses.replace(sources, knows_words=False), tmp_path / "bundle")
    bundle = skufp.open(tmp_path / "bundle")
    with pytest.warns(UserWarning, match="has learnt no words and the answer to a text is chance"):
        bundle.search(text="a red top", mode="vector")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle.search(image=crop(sources, 0))
        skufp.open(whole).search(text="a red top")


def test_the_bundle_has_what_a_change_needs(whole: Path, sources: Sources) -> None:
    """The aggregator makes the SKUs' vectors of the views' again, and readers and vocabulary open."""
    parts = skufp.open(whole).parts
    for number in range(len(parts.skus)):
        own = parts.views.of(number)
        rows = parts.views.views.rows.slice(own.start, own.stop - own.start)
        views = torch.from_numpy(np.array(parts.views.views.vectors[own]))[None]
        meta = torch.tensor([[int(row[name]) for name in META] for row in rows.to_pylist()])[None]
        made = parts.aggregator(views, torch.ones(1, VIEWS, dtype=torch.bool), meta)[0].numpy()
        assert parts.skus.vectors is not None
        np.testing.assert_allclose(made, parts.skus.vectors[number], atol=1e-6)
        assert set(rows["sku_id"].to_pylist()) == {parts.skus.sku_ids[number]}
    assert parts.readers["colour"].threshold == 0.7
    assert isinstance(parts.vocabulary, Vocabulary)
    assert list(parts.vocabulary.attributes["colour"].terms) == list(COLOURS)


def test_the_same_sources_give_the_same_bytes(sources: Sources, whole: Path, tmp_path: Path) -> None:
    assemble(sources, tmp_path / "bundle")
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "bundle") for p in (tmp_path / "bundle").rglob("*") if p.is_file())
    assert [name for name in files if (whole / name).read_bytes() != (tmp_path / "bundle" / name).read_bytes()] == []


def test_a_bundle_of_one_split_holds_that_split_alone(make_sources: Any, tmp_path: Path) -> None:
    assemble(make_sources(gallery=("test",)), tmp_path / "bundle")
    found = one(skufp.open(tmp_path / "bundle").search(text="top", top_k=99))
    assert {result.sku for result in found} == {"s4", "s5", "s6", "s7", "s8", "s9"}
    assert {result.split for result in found} == {"test"}


def test_search_similar_reads_a_bundle_too(whole: Path, sources: Sources) -> None:
    found = search_similar(crop(sources, 2), whole, top_k=3)
    expected = one(skufp.open(whole).search(image=crop(sources, 2), top_k=3))
    assert [hit["filename"] for hit in found] == [f"photos/{r.split}-{r.sku_id}.jpg" for r in expected]
    assert [hit["score"] for hit in found] == [result.score for result in expected]
