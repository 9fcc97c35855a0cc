"""A described product: the row of the journal `products.jsonl`, from which every export is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skufp.catalogue.facts import Facts
from skufp.catalogue.metadata import ProductCopy

MODEL, TEMPLATE = "model", "template"


@dataclass(frozen=True)
class Described:
    """The facts and the copy of one product.

    ``copy`` is None exactly where ``error`` holds the reason why the product could not be described. ``written_by`` has
    the writer of each field of the copy, a language ``model`` or the ``template``; the shop wrote the other fields.
    ``notes`` has the reasons why the template wrote a field. ``similar`` holds {"sku_id": …, "score": …}, best first.
    ``images`` are the product's photos, main photo first: paths below the data root, or URLs.
    """

    facts: Facts
    copy: ProductCopy | None
    written_by: dict[str, str] = field(default_factory=dict)
    similar: list[dict[str, Any]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    error: str = ""
    notes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.copy is None) != bool(self.error):
            raise ValueError(f"{self.sku_id}: a product has either copy or an error")
        if wrong := set(self.written_by.values()) - {MODEL, TEMPLATE}:
            raise ValueError(f"{self.sku_id}: written_by knows '{MODEL}' and '{TEMPLATE}', not {sorted(wrong)}")

    @property
    def sku_id(self) -> str:
        """The product's id, unique among the products."""
        return self.facts.sku_id

    @classmethod
    def failed(cls, sku_id: str, error: str) -> "Described":
        """Return the row of a product that could not be described."""
        return cls(Facts(sku_id, ""), None, error=error or "unknown error")

    def to_dict(self) -> dict[str, Any]:
        """Return the product as a JSON row."""
        return {
            "facts": self.facts.to_dict(),
            "copy": self.copy.model_dump(mode="json") if self.copy else None,
            "written_by": self.written_by,
            "similar": self.similar,
            "images": self.images,
            "error": self.error,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Described":
        """Make a product from to_dict's result; unknown keys are ignored.

        Raises ValueError, KeyError or TypeError where the row is invalid.
        """
        copy = row["copy"]
        return cls(
            facts=Facts.from_dict(row["facts"]),
            copy=None if copy is None else ProductCopy.model_validate(copy),
            written_by=dict(row["written_by"]),
            similar=list(row["similar"]),
            images=list(row["images"]),
            error=row["error"],
            notes=dict(row["notes"]),
        )
