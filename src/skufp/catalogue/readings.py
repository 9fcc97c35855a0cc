"""A catalogue while its attributes are read: the products with what is said of them, and each attribute's evidence."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from skufp.artifacts.products import Product

if TYPE_CHECKING:
    from skufp.catalogue.attributes import Reader
    from skufp.catalogue.evidence import Evidence
    from skufp.catalogue.facts import Value
    from skufp.catalogue.overrides import Values
    from skufp.catalogue.vocabulary import Category

LEARN = ("train", "dev")  # the splits whose labels calibrate; validation and test are for measuring


@dataclass
class Catalogue:
    """All products, and what is said of each, in their order; ``ids`` are unique among them."""

    products: list[Product]
    ids: list[str]
    categories: list["Category"] = field(default_factory=list)
    category_values: list["Value"] = field(default_factory=list)
    labels: list[dict[str, list[str]]] = field(default_factory=list)  # the manifest's, by attribute; the main one first
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)  # (column, text) that is no value
    overrides: "Values" = field(default_factory=dict)

    @property
    def learns(self) -> list[bool]:
        """Which products' labels calibrate."""
        return [product.split in LEARN for product in self.products]


@dataclass
class Reading:
    """One attribute read: evidence, reader, log probabilities [n, K], and the labels of its rows, main one first."""

    evidence: "Evidence"
    reader: "Reader"
    log_probabilities: np.ndarray
    labels: list[list[str]]
