"""stage=attributes: whose labels teach a reader, and that a sibling's label is no evidence of a probe's worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from skufp.artifacts.products import Product
from skufp.catalogue.evidence import Evidence, labels_of
from skufp.catalogue.vocabulary import Vocabulary
from skufp.stages import attributes as stage

VALUES = ("red", "blue")
STYLES = 60


@pytest.fixture
def vocabulary() -> Vocabulary:
    colour = {"prompts": ["a {value} {category}"], "values": {value: {} for value in VALUES}}
    categories = {"top": {"attributes": ["colour"]}}
    return Vocabulary.of({
        "attributes": {"colour": colour}, "categories": categories, "category_prompts": ["a {category}"]
    })  # fmt: skip


@pytest.fixture
def cfg() -> DictConfig:
    return OmegaConf.create({"vocabulary": {"precision": 0.8, "threshold": 0.6}, "model": {"zero_shot": True}})


def catalogue_of(vocabulary: Vocabulary, products: Sequence[tuple[str, str, dict[str, str]]]) -> stage.Catalogue:
    """Products (split, sku_id, fields) of the one category, with the labels that their manifests name."""
    made = [Product(split, sku, "top", fields) for split, sku, fields in products]
    catalogue = stage.Catalogue(made, stage.product_ids(made))
    catalogue.categories = [vocabulary.categories["top"]] * len(made)
    stage.label(catalogue, vocabulary)
    return catalogue


def evidence_of(vocabulary: Vocabulary, truth: np.ndarray, embeddings: np.ndarray, right: float) -> Evidence:
    """Prompt scores that are right about a share of the products, spread evenly."""
    count = len(truth)
    seen = np.where(np.arange(count) % 10 < 10 * right, truth, 1 - truth)
    return Evidence(vocabulary.attributes["colour"], np.arange(count), np.eye(2)[seen] * 0.1, None, embeddings)


@pytest.mark.parametrize("named", ["style", "id"], ids=["by the manifest's style", "by the pair in the id"])
def test_a_probe_that_knows_only_siblings_is_not_asked(vocabulary: Vocabulary, cfg: DictConfig, named: str) -> None:
    """Every style has a dimension of its own: a probe tells a product by its sibling's label, and by nothing else."""
    style = np.repeat(np.arange(STYLES), 2)
    truth = np.random.default_rng(0).integers(0, 2, STYLES)[style]
    products = []
    for i, s in enumerate(style):
        colour: dict[str, str] = {"colour": VALUES[truth[i]]}
        if named == "style":
            products.append(("train", f"sku{i}", colour | {"style": f"s{s}"}))
        else:
            products.append(("train", f"{s}_{i % 2}_1", colour))
    catalogue = catalogue_of(vocabulary, products)
    siblings = evidence_of(vocabulary, truth, np.eye(STYLES)[style], right=0.7)
    assert stage.read(cfg, catalogue, siblings, {}).reader.probe is None
    told = evidence_of(vocabulary, truth, np.eye(2)[truth], right=0.7)  # what a probe may well know
    assert stage.read(cfg, catalogue, told, {}).reader.probe is not None


def test_labels_of_the_splits_that_are_measured_teach_nothing(vocabulary: Vocabulary, cfg: DictConfig) -> None:
    """All labels of validation and test are wrong, and the reader is as sure of itself as if they were not there."""
    count = 80
    truth = np.arange(count) % 2
    splits = np.array(["train", "dev"] * 20 + ["validation", "test"] * 20)
    said = np.where(np.isin(splits, ("train", "dev")), truth, 1 - truth)
    products = [(s, f"{i}_1", {"colour": VALUES[c]}) for i, (s, c) in enumerate(zip(splits, said, strict=True))]
    evidence = evidence_of(vocabulary, truth, np.zeros((count, 2)), right=0.9)
    found = stage.read(cfg, catalogue_of(vocabulary, products), evidence, {})
    assert found.reader.labels == 40
    alone = [p if p[0] in ("train", "dev") else (p[0], p[1], {}) for p in products]
    assert stage.read(cfg, catalogue_of(vocabulary, alone), evidence, {}).reader == found.reader
    assert found.labels[-1] == [VALUES[said[-1]]], "labels of the other splits are kept, to measure by"


def test_labels_of_people_replace_those_of_the_manifest(vocabulary: Vocabulary, cfg: DictConfig) -> None:
    """Of every split: people gave them to teach. One product in two has one, and it says the opposite."""
    count = 40
    truth = np.arange(count) % 2
    products = [("validation", f"{i}_1", {"colour": VALUES[truth[i]]}) for i in range(count)]
    catalogue = catalogue_of(vocabulary, products)
    given: dict[str, Any] = {catalogue.ids[i]: {"colour": VALUES[1 - truth[i]]} for i in range(0, count, 4)}
    given |= {catalogue.ids[i]: {"colour": VALUES[1 - truth[i]]} for i in range(1, count, 4)}
    assert sum(label is not None for label in labels_of(given, catalogue.ids, "colour")) == 20
    reading = stage.read(cfg, catalogue, evidence_of(vocabulary, truth, np.eye(2)[truth], right=1.0), given)
    assert reading.reader.labels == 20
    assert reading.reader.probe is not None
    assert [VALUES[row] for row in reading.log_probabilities.argmax(axis=1)] == [VALUES[1 - t] for t in truth]
