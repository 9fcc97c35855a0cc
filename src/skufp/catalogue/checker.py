"""The fact checker: copy may use words from the facts, and words that make no claim; all others are refused."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from skufp.catalogue.facts import Facts
from skufp.catalogue.lexicon import HERE, Lexicon, Unit, fingerprint, load_lexicon
from skufp.catalogue.metadata import valid_field

STRICT = ("title", "seo_tags")  # fields where every unknown word is refused, not only guarded and capitalised words
NAMED = ("title", "description")  # fields that have to name the product
_PARTS = {"bullet_points": "bullet", "seo_tags": "tag"}
_PARTS_OF_A_GARMENT = ("neck", "sleeve", "collar", "length", "fit", "rise", "closure")  # each has a value of its own
_LINK = re.compile(r"https?:|www\.|\S+@\S+|\.com\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?]+")
_AFTER_SENTENCE = re.compile(r"(?<=[.!?])\s+")
VERSION = 2  # raise it when the verdict on any text changes


@dataclass(frozen=True)
class Problem:
    """A refused part of a field: the field, the kind of problem and the words."""

    field: str
    where: str
    kind: str
    term: str

    def __str__(self) -> str:
        reasons = {
            "repetition": f"repeats '{self.term}'",
            "missing": f"does not name the product ({self.term})",
            "markup": f"'{self.term}' does not belong in plain text",
        }
        reason = reasons.get(self.kind, f"{self.kind} '{self.term}' is not in the facts")
        return f"{self.where}: {reason}"


class Checker:
    """Checks copy against facts, word by word.

    Brands, materials, colours, claims, features, kinds of product and numbers (listed in the lexicon) must occur in the
    facts, phrases as phrases: a short skirt with sleeves does not support `short sleeve`. So must capitalised words
    that are not in the lexicon (invented names), and in ``strict`` fields all unknown words. Known limit: a single word
    is allowed if the facts have it, whatever it describes there (denim as a colour's name).
    """

    def __init__(self, language: str = "en", strict: Sequence[str] = STRICT) -> None:
        self.lexicon: Lexicon = load_lexicon(language)
        self.strict = tuple(strict)
        files = sorted((HERE / "lexicon" / language).glob("*.txt"))
        self.identity: dict[str, Any] = {
            "version": VERSION,
            "lexicon": fingerprint(*files),
            "strict": list(self.strict),
        }

    def check(self, name: str, value: str | list[str], facts: Facts) -> list[Problem]:
        """Return the problems of the field ``name``, in reading order; none if it passes."""
        known = _Known(facts, self.lexicon)
        texts = _texts(value)
        part = _PARTS.get(name)
        problems: list[Problem] = []
        for number, text in enumerate(texts, 1):
            where = f"{part} {number}" if part else name
            problems += [Problem(name, where, kind, term) for kind, term in self._found(name, text, known)]
        if name in NAMED and not known.named_in(self.lexicon.units(" ".join(texts))):
            problems.append(Problem(name, name, "missing", known.product))
        problems += [Problem(name, name, "repetition", text) for text in _twins(texts, self.lexicon)]
        return problems

    def spared(self, name: str, value: Any, facts: Facts) -> Any:
        """Return a list without its refused items, or a description without its refused sentences.

        None where too little is left, and for other fields: a title has no parts to leave out.
        """
        if isinstance(value, str) and name != "description":
            return None
        known = _Known(facts, self.lexicon)
        parts = _AFTER_SENTENCE.split(value) if isinstance(value, str) else value
        right = [part for part in parts if not self._found(name, part, known)]
        twins = _twins(right, self.lexicon)
        left = [part for part in right if part not in twins]
        try:
            rest = valid_field(name, " ".join(left) if isinstance(value, str) else left)
        except ValueError:
            return None
        return None if self.check(name, rest, facts) else rest

    def _found(self, name: str, text: str, known: "_Known") -> list[tuple[str, str]]:
        return [*_markup(text, known), *self._words(name, text, known), *_repetition(text, self.lexicon, known)]

    def _words(self, name: str, text: str, known: "_Known") -> Iterable[tuple[str, str]]:
        units = self.lexicon.units(text)
        at = 0
        while at < len(units):
            size, kind = self._guarded(units, at)
            part = units[at : at + size]
            unit = part[0]
            if kind is not None:
                if not known.holds(part):
                    yield kind, " ".join(u.spelt for u in part)
            elif unit.name[0].isdigit():
                if not known.holds(part):
                    yield "number", unit.spelt
            elif unit.name in known.parts and at and not known.holds((before := units[at - 1], unit)):
                if (before.name,) in self.lexicon.terms:  # a hooded neckline does not support a cotton neckline
                    yield "attribute", f"{before.spelt} {unit.spelt}"
            elif unit.name not in self.lexicon.plain and not known.holds(part):
                if unit.capital or not unit.name.isascii():
                    yield "name", unit.spelt
                elif name in self.strict:
                    yield "word", unit.spelt
            at += size

    def _guarded(self, units: list[Unit], at: int) -> tuple[int, str | None]:
        """Return the length and the kind of the longest guarded term that starts at ``at``; (1, None) if none does."""
        for size in range(min(self.lexicon.longest, len(units) - at), 0, -1):
            kind = self.lexicon.terms.get(tuple(unit.name for unit in units[at : at + size]))
            if kind is not None:
                return size, kind
        return 1, None


class _Known:
    """The facts of one product as units."""

    def __init__(self, facts: Facts, lexicon: Lexicon) -> None:
        values = [f"{value.value} {name.replace('_', ' ')}" for name, value in facts.attributes.items()]
        self.text = "\n".join([facts.category, *facts.fields.values(), *values])
        # A slash between facts keeps phrases from spanning two facts.
        lines = [[unit.name for unit in lexicon.units(line)] for line in self.text.splitlines()]
        self.runs = " / ".join(" ".join(line) for line in lines)
        names = [lexicon.units(name.replace("_", " "))[-1].name for name in facts.attributes]
        self.parts = set(names) & set(_PARTS_OF_A_GARMENT)
        self.single = {word for line in lines for name in line for word in (name, *name.split())}
        self.product = facts.category or facts.fields.get("title", "")
        title = [unit.name for unit in lexicon.units(facts.fields.get("title", ""))]
        category = [unit.name for unit in lexicon.units(facts.category)]
        garments = {name for name in category if lexicon.terms.get((name,)) == "kind of product"}
        self.heads = (garments or set(category[-1:])) | (set(title) - lexicon.plain)

    def holds(self, part: Sequence[Unit]) -> bool:
        """Return whether the facts hold these units in this order."""
        if len(part) == 1:
            return part[0].name in self.single
        return f" {' '.join(unit.name for unit in part)} " in f" {self.runs} "

    def named_in(self, units: Iterable[Unit]) -> bool:
        """Return whether the category's noun or a word of the manifest's title occurs; True if neither is known."""
        return not self.heads or any(unit.name in self.heads for unit in units)


def _markup(text: str, known: _Known) -> Iterable[tuple[str, str]]:
    """Yield links, markup, currency and percent signs, emoji and control characters that the facts do not hold."""
    yield from (("markup", match.group()) for match in _LINK.finditer(text))
    for sign in dict.fromkeys(text):
        kind = unicodedata.category(sign)
        if sign not in known.text and (kind in ("So", "Sc", "Cc", "Co", "Cn", "Cs") or sign in "%<>#*_{}[]|\\=~^`"):
            yield ("number" if kind == "Sc" or sign == "%" else "markup"), sign


def _repetition(text: str, lexicon: Lexicon, known: _Known) -> Iterable[tuple[str, str]]:
    """Yield repeated sentences, immediately repeated words, and runs of four units that occur three times."""
    sentences = [tuple(u.name for u in lexicon.units(s)) for s in _SENTENCE.findall(text)]
    for sentence, times in Counter(s for s in sentences if s).items():
        if times > 1:
            yield "repetition", " ".join(sentence)
    names = [unit.name for unit in lexicon.units(text)]
    for first, second in pairwise(lexicon.units(text)):
        if first.name == second.name and not known.holds((first, second)):
            yield "repetition", first.spelt
    runs = Counter(tuple(names[i : i + 4]) for i in range(len(names) - 3))
    if (most := runs.most_common(1)) and most[0][1] > 2:
        yield "repetition", " ".join(most[0][0])


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _twins(texts: list[str], lexicon: Lexicon) -> list[str]:
    """Return the texts that have the same words, in any order, as an earlier text."""
    seen: set[frozenset[str]] = set()
    twins = []
    for text in texts:
        words = frozenset(unit.name for unit in lexicon.units(text))
        if words in seen:
            twins.append(text)
        seen.add(words)
    return twins
