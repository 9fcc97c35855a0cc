"""Simulated text queries of stage=evaluate: what a shopper might type of a SKU, which is not the text that is indexed.

Everything follows from a seed. A SKU's queries depend on the seed and on what is said of that SKU alone.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from skufp.retrieval.words.terms import terms_of

SYNONYMS = Path(__file__).with_suffix(".txt")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST = 4  # letters of a word that gets a typo
SPOKEN = 3  # attributes that a query with synonyms names beside colour and category


@dataclass(frozen=True)
class Described:
    """What is said of a SKU: its ``title`` (may be empty), ``colour``, ``category`` and further attributes' values."""

    title: str
    colour: str
    category: str
    attributes: tuple[str, ...] = ()

    @property
    def name(self) -> list[str]:
        """The words of its title; those of its attributes and category where it has none."""
        return (self.title or " ".join([*self.attributes, self.category])).split()


@dataclass(frozen=True)
class Asked:
    """A query's ``text``, and the words of the catalogue that it ``means``, before synonyms and typos."""

    text: str
    means: str


def simulate(described: Described, seed: int) -> dict[str, Asked]:
    """Return a query of each of KINDS for a SKU, without the kinds that need words which the SKU lacks."""
    whole = "\0".join([described.title, described.colour, described.category, *described.attributes])
    digest = hashlib.sha256(f"{seed}\0{whole}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    made = {kind: make(described, rng) for kind, make in KINDS.items()}
    return {kind: asked for kind, asked in made.items() if asked is not None}


def title_part(described: Described, rng: np.random.Generator) -> Asked | None:
    """Half of the title's words, those that stand side by side, and the colour."""
    words = described.name
    if not words or not terms_of(" ".join(words)):
        return None
    size = (len(words) + 1) // 2
    start = int(rng.integers(0, len(words) - size + 1))
    text = _join([*words[start : start + size], described.colour])
    return Asked(text, text)


def one_typo(described: Described, rng: np.random.Generator) -> Asked | None:
    """Part of the title and the colour, one word of it with one typo."""
    asked = title_part(described, rng)
    words = asked.text.split() if asked else []
    places = [i for i, word in enumerate(words) if len(word) >= SHORTEST and word.isascii() and word.isalpha()]
    if asked is None or not places:
        return None
    place = places[int(rng.integers(0, len(places)))]
    words[place] = mistyped(words[place], rng)
    return Asked(" ".join(words), asked.text)


def other_order(described: Described, rng: np.random.Generator) -> Asked | None:
    """The whole title and the colour, in another order."""
    words = [*described.name, *described.colour.split()]
    if len(set(words)) < 2:
        return None
    mixed = words
    while mixed == words:
        mixed = [words[i] for i in rng.permutation(len(words))]
    return Asked(" ".join(mixed), " ".join(words))


def by_synonyms(described: Described, rng: np.random.Generator) -> Asked | None:
    """Colour, category and some attributes, each by a synonym of the frozen list where it has one: at least one has."""
    picked = [described.attributes[i] for i in sorted(rng.permutation(len(described.attributes))[:SPOKEN])]
    meant = [each for each in (described.colour, *picked, described.category) if each]
    said = [_spoken(each, rng) for each in meant]
    return Asked(_join(said), _join(meant)) if said != meant else None


KINDS: dict[str, Callable[[Described, np.random.Generator], Asked | None]] = {
    "title_part": title_part,
    "typo": one_typo,
    "word_order": other_order,
    "synonyms": by_synonyms,
}
# As tables call them; all but the last are simulated.
NAMES = {
    "title_part": "part of title + colour",
    "typo": "the same, one typo",
    "word_order": "other word order",
    "synonyms": "attributes by synonyms",
    "labels": "labels",
}


def mistyped(word: str, rng: np.random.Generator) -> str:
    """Return ``word`` with one letter replaced, left out or put in, or with two neighbours swapped."""
    while True:
        i, letter = int(rng.integers(0, len(word))), LETTERS[int(rng.integers(0, len(LETTERS)))]
        other = (
            word[:i] + letter + word[i + 1 :],
            word[:i] + word[i + 1 :],
            word[:i] + letter + word[i:],
            word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :],
        )[int(rng.integers(0, 4))]
        if other != word:
            return other


def ambiguity(described: Sequence[Described]) -> np.ndarray:
    """Return [S]: the number of SKUs with each SKU's description, itself included. Words cannot separate them."""
    number: dict[Described, int] = {}
    group = np.array([number.setdefault(each, len(number)) for each in described], np.int64)
    return np.bincount(group, minlength=len(number))[group] if len(group) else group


def _spoken(words: str, rng: np.random.Generator) -> str:
    others = spoken_synonyms().get(words.casefold(), ())
    return others[int(rng.integers(0, len(others)))] if others else words


def _join(words: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(word for word in words if word))


@cache
def spoken_synonyms() -> dict[str, tuple[str, ...]]:
    """Return the frozen list: a word of a catalogue, and what may be said instead."""
    return dict(_lines(SYNONYMS.read_text(encoding="utf-8")))


def _lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        word, _, others = line.partition("#")[0].partition("=")
        if word.strip():
            yield word.strip(), tuple(other.strip() for other in others.split(","))
