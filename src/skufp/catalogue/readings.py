"""The state of stage=attributes: all products with their labels and values, and each attribute's evidence."""

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
    """All products, and in the same order their labels and values; ``ids`` are unique among them."""

    products: list[Product]
    ids: list[str]
    categories: list["Category"] = field(default_factory=list)
    category_values: list["Value"] = field(default_factory=list)
    labels: list[dict[str, list[str]]] = field(default_factory=list)  # the manifest's, by attribute; the main one first
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)  # (column, text) that is not a known value
    overrides: "Values" = field(default_factory=dict)

    @property
    def learns(self) -> list[bool]:
        """Return which products' labels are used for calibration."""
        return [product.split in LEARN for product in self.products]


@dataclass
class Reading:
    """One attribute: evidence, reader, log probabilities [n, K], and the labels of its rows, main value first."""

    evidence: "Evidence"
    reader: "Reader"
    log_probabilities: np.ndarray
    labels: list[list[str]]
