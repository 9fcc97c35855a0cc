"""The lexicon, which a shop can edit: words that need support in the facts, synonyms, and words that claim nothing."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skufp.errors import UserError, nearest

HERE = Path(__file__).parent
# The files of the lexicon, and the name of an entry in complaints.
KINDS = {
    "brands": "brand", "materials": "material", "colours": "colour", "claims": "claim", "features": "attribute",
    "garments": "kind of product", "numbers": "number",
}  # fmt: skip
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*")
_PLURAL_ONLY = ("shorts",)  # a short skirt is no pair of shorts
_APOSTROPHES = str.maketrans("’‘", "''", "™®©")  # NFKC would make LumaTech™ a word LumaTechTM


@dataclass(frozen=True)
class Unit:
    """A word, or words that the lexicon treats as one, in canonical form and in the text's spelling."""

    name: str
    spelt: str
    capital: bool


@dataclass(frozen=True)
class Lexicon:
    """``terms``: guarded sequences of units and their kind; ``same``: words to the unit they mean; ``plain``: units."""

    terms: dict[tuple[str, ...], str]
    same: dict[tuple[str, ...], str]
    plain: frozenset[str]
    longest: int

    def units(self, text: str) -> list[Unit]:
        """Split ``text`` into units, in order: possessives and plurals are removed, variants unified, hyphens split."""
        return _units(text, self.same)


@cache
def load_lexicon(language: str, root: Path = HERE / "lexicon") -> Lexicon:
    """Read the lexicon of ``language`` from ``<root>/<language>/*.txt``; UserError if there is none.

    Entries are separated by commas or lines; `#` starts a comment. In variants.txt a line holds synonyms.
    """
    folder = language_folder(root, language, "lexicon")
    same: dict[tuple[str, ...], str] = {}
    for line in _lines(folder / "variants.txt"):
        words = [tuple(map(_stem, _words(entry))) for entry in line]
        same.update({key: " ".join(words[0]) for key in words})
    terms = {}
    for file, kind in KINDS.items():
        for line in _lines(folder / f"{file}.txt"):
            terms.update({tuple(unit.name for unit in _units(entry, same)): kind for entry in line})
    plain = {unit.name for line in _lines(folder / "plain.txt") for entry in line for unit in _units(entry, same)}
    return Lexicon(terms, same, frozenset(plain), max(len(key) for key in terms))


def language_folder(root: Path, language: str, what: str) -> Path:
    """Return the folder or file of ``language`` under ``root``; UserError with the available languages."""
    found = {path.stem: path for path in sorted(root.iterdir()) if not path.name.startswith((".", "_"))}
    if language not in found:
        raise UserError(
            f"llm.language={language}: there is no {what} for it in {root}.{nearest(language, found)}"
            f" To add one, copy {root / 'en'}* to '{language}' and translate it, or set llm.language=en"
        )
    return found[language]


def fingerprint(*files: Path) -> str:
    """Return 16 hex digits that change with the names and the contents of ``files``."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _lines(file: Path) -> list[list[str]]:
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; a lexicon has {', '.join(KINDS)}, variants and plain .txt")
    lines = [line.partition("#")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    return [[entry.strip() for entry in line.split(",") if entry.strip()] for line in lines if line.strip()]


def _units(text: str, same: dict[tuple[str, ...], str]) -> list[Unit]:
    spelt = _words(text)
    words = [_stem(word) for word in spelt]
    found, at = [], 0
    while at < len(words):
        size = next((n for n in (3, 2, 1) if tuple(words[at : at + n]) in same), 1)
        name = same.get(tuple(words[at : at + size]), words[at])
        part = spelt[at : at + size]
        found.append(Unit(name, " ".join(part), any(word[0].isupper() for word in part)))
        at += size
    return found


def _words(text: str) -> list[str]:
    return _TOKEN.findall(unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)))


def _stem(word: str) -> str:
    """Return ``word`` in lower case without a possessive or plural ending; numbers in the form of number()."""
    if word[0].isdigit():
        return number(word)
    word = word.casefold().removesuffix("'s").rstrip("'")
    if word in _PLURAL_ONLY:
        return word
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def number(text: str) -> str:
    """Return a number in canonical form: "1,299.00", "1.299,00" and "1299" are equal."""
    whole, _, decimals = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", text).replace(",", ".").partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
