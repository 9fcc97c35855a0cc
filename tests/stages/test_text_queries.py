"""What stage=evaluate and stage=bundle share of text search: SKUs in words, synonyms, and the weight of words."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from omegaconf import OmegaConf

from skufp.artifacts.products import Product, write_products
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import save_encoder
from skufp.retrieval.evaluation.simulated_texts import Described
from skufp.retrieval.words.fusion import DEFAULT_WEIGHT, WEIGHTS
from skufp.stages.text_queries import FEWEST, choose_word_weight, described, encode_texts, load_synonyms

NAMES = ("thorpe", "miko", "circe", "nadia", "pierce")
COLOURS = ("red", "blue", "green", "black")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dev")
    save_encoder(tiny_siglip(16, 8, 16, 1, 2, 0), folder / "retriever" / "encoder")
    (folder / "prepare").mkdir()
    return {name: folder / name for name in ("retriever", "prepare", "fingerprint")}


def write(inputs: dict[str, Path], dev: int) -> None:
    """Write ``dev`` SKUs of dev and as many of train, each with a title and a colour of its own."""
    products = [
        Product(split, f"s{i}", "top", {"name": f"{NAMES[i % 5]} top", "colour": f"{COLOURS[i // 5 % 4]} {split}"})
        for split in ("dev", "train", "validation")
        for i in range(dev)
    ]
    write_products(inputs["prepare"], products)
    rows = pa.Table.from_pylist([{"split": p.split, "sku_id": p.sku_id} for p in products])
    vectors = np.random.default_rng(0).normal(size=(len(products), 16)).astype(np.float32)
    table = VectorTable(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rows)
    inputs["fingerprint"].mkdir(exist_ok=True)
    table.save(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")


def test_random_vectors_leave_the_weight_to_words(world: SimpleNamespace, inputs: dict[str, Path]) -> None:
    write(inputs, FEWEST)
    chosen = choose_word_weight(world.cfg, inputs, {})
    assert chosen.queries > 2 * FEWEST  # of every SKU part of the title and another order, of many a typo
    assert chosen.value in WEIGHTS
    assert chosen.value >= DEFAULT_WEIGHT


def test_few_dev_skus_choose_nothing(world: SimpleNamespace, inputs: dict[str, Path]) -> None:
    write(inputs, FEWEST - 1)
    chosen = choose_word_weight(world.cfg, inputs, {})
    assert (chosen.value, chosen.queries) == (DEFAULT_WEIGHT, 0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"Title": "Thorpe Pant", "Color": "Red", "fabric": "wool, silk"},
            ("Thorpe Pant", "red", "top", ("wool", "silk")),
        ),
        ({"sleeve": "short"}, ("", "", "top", ("short",))),
        ({"price": "10"}, ("", "", "", ())),
        ({}, ("", "", "", ())),
    ],
)
def test_a_product_is_described_by_title_colour_and_attributes(fields: dict[str, str], expected: Any) -> None:
    assert described(Product("dev", "s", "top", fields)) == Described(*expected)


def test_equal_texts_get_equal_vectors_in_their_places(world: SimpleNamespace, inputs: dict[str, Path]) -> None:
    vectors = encode_texts(world.cfg, inputs["retriever"], ["red top", "blue", "red top"])
    assert vectors.shape == (3, 16)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert encode_texts(world.cfg, inputs["retriever"], []).shape == (0, 16)


def test_a_language_without_a_lexicon_is_named(world: SimpleNamespace) -> None:
    cfg: Any = OmegaConf.merge(world.cfg, {"llm": {"language": "eo"}})
    with pytest.raises(UserError, match=r"llm\.language=eo: there is no lexicon"):
        load_synonyms(cfg)
