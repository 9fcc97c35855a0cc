"""The facts of a product: accepted attributes and the manifest's own fields. Copy may use nothing else."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MANIFEST, OVERRIDE, PROBE, PROMPT, PIXELS = "manifest", "override", "probe", "prompt", "pixels"
SOURCES = (MANIFEST, OVERRIDE, PROBE, PROMPT, PIXELS)
_LETTER = r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e30-\u0e4e])"  # and vowel signs, no \w to Python
_WORD = re.compile(rf"\d+(?:[.,]\d+)*|{_LETTER}+(?:['-]{_LETTER}+)*")
_MARKS = str.maketrans({"’": "'", "‘": "'", "‐": "-", "‑": "-", "–": " ", "—": " "})


@dataclass(frozen=True)
class Value:
    """An accepted value, its confidence (0 to 1), and its source (one of SOURCES)."""

    value: str
    confidence: float
    source: str

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"source '{self.source}': it must be one of {', '.join(SOURCES)}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence {self.confidence} of '{self.value}': it must lie in 0 to 1")


@dataclass(frozen=True)
class Facts:
    """One product's facts.

    ``attributes`` are the accepted ones only; ``fields`` are the manifest's own non-empty columns (title, brand, price,
    currency, gtin, material, …). ``category_value`` has the category's source and confidence, where known.
    """

    sku_id: str
    category: str
    attributes: dict[str, Value] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    category_value: Value | None = None

    def words(self) -> set[str]:
        """Return every word that copy may use of the product, as words_of splits them.

        They are the words of the category, of the attributes' names and values, and of the manifest's fields.
        """
        texts = [self.category, *self.fields.values()]
        for name, value in self.attributes.items():
            texts += [name.replace("_", " "), value.value]
        return {word for text in texts for word in words_of(text)}

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as a JSON row."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Facts":
        """Make facts from to_dict's result."""
        attributes = {name: Value(**value) for name, value in row["attributes"].items()}
        category = Value(**row["category_value"]) if row.get("category_value") else None
        return cls(row["sku_id"], row["category"], attributes, dict(row["fields"]), category)


def words_of(text: str) -> list[str]:
    """Split ``text`` into lower-case words, in order.

    A word with a hyphen or an apostrophe gives itself and its parts ("crew-neck", "crew", "neck"); a number keeps its
    decimals ("29.90"). Typographic apostrophes and hyphens are treated as plain ones.
    """
    found = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).translate(_MARKS).casefold()):
        found.append(word)
        parts = re.split(r"['-]", word)
        found += parts if len(parts) > 1 else []
    return found
