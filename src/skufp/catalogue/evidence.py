"""Evidence from pictures: prompt scores and pixels of every attribute, and the readers fitted to it.

Legend: R views, N products, n of them whose category has the attribute, K values, D dim of embeddings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skufp.catalogue.attributes import Reader, calibrate, calibrate_probe
from skufp.catalogue.colour import colour_evidence
from skufp.catalogue.facts import PROMPT, Value
from skufp.catalogue.overrides import Values
from skufp.catalogue.scoring import FEWEST, HOTTEST, nll, scores_by_product, value_vectors
from skufp.catalogue.vocabulary import CATEGORY, Attribute, Category, Term, Vocabulary, ensemble

COLOUR = "colour"  # the attribute with evidence from pixels too
PIXELS = 2.0  # weight of pixels without labels: on real shop photos they are then about calibrated
UNLIKELY = -30.0  # floor of log probabilities: a single unseen value must not dominate the NLL
UNKNOWN = "garment"  # the catch-all category; a vocabulary may have it, and it has no prompt


class PromptVectors:
    """The unit vectors of every value's prompts, each text encoded once; ``encode`` maps P texts to [P, D]."""

    def __init__(self, vocabulary: Vocabulary, encode: Callable[[list[str]], np.ndarray]) -> None:
        self.vocabulary, self.encode = vocabulary, encode
        self._known: dict[tuple[str, str], np.ndarray] = {}

    def categories(self) -> np.ndarray:
        """Return [K, D] of the values of category_attribute."""
        prompts = self.vocabulary.category_ensemble()
        return self._vectors((CATEGORY, ""), {name: prompts[name] for name in askable(self.vocabulary)})

    def values(self, attribute: Attribute, category: Category) -> np.ndarray:
        """Return [K, D] of the attribute's values for a garment of ``category``."""
        return self._vectors((attribute.key, category.name), ensemble(attribute, category))

    def _vectors(self, key: tuple[str, str], prompts: Mapping[str, list[str]]) -> np.ndarray:
        if key not in self._known:
            texts = [text for own in prompts.values() for text in own]
            of_value = np.repeat(np.arange(len(prompts)), [len(own) for own in prompts.values()])
            self._known[key] = value_vectors(self.encode(texts), of_value, len(prompts))
        return self._known[key]


def askable(vocabulary: Vocabulary) -> list[str]:
    """Return the categories that have prompts: all but UNKNOWN."""
    return [name for name in vocabulary.categories if name != UNKNOWN]


def category_attribute(vocabulary: Vocabulary) -> Attribute:
    """Return the category as an attribute, so that it is read, calibrated and scored like the others."""
    terms = {name: Term(name, vocabulary.categories[name].words) for name in askable(vocabulary)}
    return Attribute(CATEGORY, CATEGORY, terms, vocabulary.category_prompts)


@dataclass(frozen=True)
class Pictures:
    """Views of N products: unit vectors ``views`` [R, D], each view's product, and shares of colours [R, K]."""

    views: np.ndarray
    product_of_view: np.ndarray
    products: int
    shares: np.ndarray | None = None

    @cached_property
    def embeddings(self) -> np.ndarray:
        """The unit mean of each product's views [N, D]; zeros without a view."""
        sums = np.zeros((self.products, self.views.shape[1]))
        np.add.at(sums, self.product_of_view, self.views)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

    def of(self, rows: np.ndarray) -> "Pictures":
        """Return the pictures of the products ``rows`` [n], renumbered in that order."""
        place = np.full(self.products, -1)
        place[rows] = np.arange(len(rows))
        own = place[self.product_of_view]
        kept = own >= 0
        shares = None if self.shares is None else self.shares[kept]
        return Pictures(self.views[kept], own[kept], len(rows), shares)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return [N, K]: each product's mean cosine with ``values`` [K, D]."""
        return scores_by_product(self.views, self.product_of_view, self.products, values)

    def colours(self, rows: np.ndarray) -> np.ndarray | None:
        """Return log probabilities [n, K] of the colours of the products ``rows`` [n]; None without pixels."""
        if self.shares is None:
            return None
        return np.stack([colour_evidence(self.shares[self.product_of_view == row]) for row in rows])


@dataclass(frozen=True)
class Evidence:
    """Evidence of one attribute for the products ``rows`` [n]: prompt scores and pixels [n, K], embeddings [n, D]."""

    attribute: Attribute
    rows: np.ndarray
    scores: np.ndarray
    pixels: np.ndarray | None
    embeddings: np.ndarray

    def read(self, reader: Reader) -> np.ndarray:
        """Return the reader's log probabilities [n, K]."""
        return reader.read(self.attribute, self.scores, self.pixels, self.embeddings)


def category_evidence(prompts: PromptVectors, pictures: Pictures) -> Evidence:
    """Return the evidence of every product's category."""
    rows = np.arange(pictures.products)
    scores = pictures.scores(prompts.categories())
    return Evidence(category_attribute(prompts.vocabulary), rows, scores, None, pictures.embeddings)


def gather(prompts: PromptVectors, pictures: Pictures, categories: Sequence[Category]) -> dict[str, Evidence]:
    """Return the evidence of every attribute, by key, for the products whose category [N] has the attribute."""
    names = np.array([category.name for category in categories])
    parts = {name: pictures.of(np.flatnonzero(names == name)) for name in dict.fromkeys(names.tolist())}
    rows_of: dict[str, list[int]] = {}
    for row, category in enumerate(categories):
        for attribute in category.attributes.values():
            rows_of.setdefault(attribute.key, []).append(row)
    found = {}
    for key, own in rows_of.items():
        attribute, rows = prompts.vocabulary.attributes[key], np.array(own)
        scores = np.zeros((len(rows), len(attribute.values)))
        for name in dict.fromkeys(names[rows].tolist()):
            values = prompts.values(attribute, prompts.vocabulary.categories[name])
            scores[names[rows] == name] = parts[name].scores(values)
        pixels = pictures.colours(rows) if attribute.name == COLOUR and attribute.key == COLOUR else None
        found[key] = Evidence(attribute, rows, scores, pixels, pictures.embeddings[rows])
    return found


@dataclass(frozen=True)
class Teaching:
    """The settings for fitting readers.

    ``precision`` is the required precision of accepted values on labelled products; ``threshold`` is the lowest
    accepted confidence where there are no labels. ``zero_shot``: the encoder understands any words; otherwise prompts
    are used only if calibrated on labels.
    """

    precision: float = 0.8
    threshold: float = 0.6
    zero_shot: bool = True

    def untaught(self, evidence: Evidence) -> Reader:
        """Return the uncalibrated reader of an attribute without labels, from prompts or pixels alone."""
        pixels = PIXELS if evidence.pixels is not None else 0.0
        if self.zero_shot:
            return Reader(pixel_weight=pixels, threshold=self.threshold)
        return Reader(HOTTEST, pixels, threshold=self.threshold if pixels else float("inf"))


def fit_reader(
    evidence: Evidence,
    labels: Sequence[str | None],
    groups: Sequence[str],
    teaching: Teaching,
    must_probe: bool = False,
) -> tuple[Reader, np.ndarray]:
    """Return an attribute's reader and its log probabilities [n, K]; labels [n] (None: unknown) and groups [n].

    With FEWEST labels or more, two readers are fitted: calibrated prompts and pixels, and a probe. The reader with the
    lower NLL is kept. The probe's NLL, and its log probabilities of labelled products, are those of left-out groups.
    """
    seen = ~np.isnan(evidence.scores).any(axis=1)
    labelled = np.array([i for i, label in enumerate(labels) if label is not None and seen[i]], np.int64)
    own = [str(labels[i]) for i in labelled]
    if len(labelled) < FEWEST and not must_probe:
        reader = teaching.untaught(evidence)
        return reader, evidence.read(reader)
    pixels = None if evidence.pixels is None else evidence.pixels[labelled]
    prompted = calibrate(evidence.attribute, evidence.scores[labelled], own, teaching.precision, pixels)
    by_prompts = evidence.read(prompted)
    of_label = {int(i): groups[i] for i in labelled}
    if not must_probe and (len(set(own)) < 2 or len(set(of_label.values())) < 2):
        return prompted, by_prompts
    probed, left_out = calibrate_probe(
        evidence.attribute, evidence.embeddings[labelled], own, list(of_label.values()), teaching.precision
    )
    target = np.array([evidence.attribute.values.index(label) for label in own])
    if not must_probe and nll(by_prompts[labelled], target) <= nll(np.maximum(left_out, UNLIKELY), target):
        return prompted, by_prompts
    learnt = evidence.read(probed)
    learnt[labelled] = left_out
    return probed, learnt


def accepted(evidence: Evidence, reader: Reader, log_probabilities: np.ndarray) -> dict[int, Value | None]:
    """Return each product's accepted value, by its row; None where the reader abstains."""
    values = reader.accept(evidence.attribute, log_probabilities, evidence.pixels)
    return dict(zip(evidence.rows.tolist(), values, strict=True))


def choose_category(
    vocabulary: Vocabulary, evidence: Evidence, reader: Reader, log_probabilities: np.ndarray
) -> list[Value]:
    """Return every product's category; where the reader abstains UNKNOWN, or the most probable if UNKNOWN is absent."""
    chosen = []
    for row, value in accepted(evidence, reader, log_probabilities).items():
        best = int(np.nan_to_num(log_probabilities[row], nan=-np.inf).argmax())
        confidence = min(float(np.nan_to_num(np.exp(log_probabilities[row][best]))), 1.0)
        must_guess = UNKNOWN not in vocabulary.categories
        guess = (
            Value(evidence.attribute.values[best], confidence, PROMPT) if must_guess else Value(UNKNOWN, 0.0, PROMPT)
        )
        chosen.append(value or guess)
    return chosen


def labels_of(values: Values, ids: Sequence[str], name: str) -> list[str | None]:
    """Return the attribute ``name`` of each product in a table written by people; None where it is absent."""
    return [values.get(sku, {}).get(name) or None for sku in ids]
