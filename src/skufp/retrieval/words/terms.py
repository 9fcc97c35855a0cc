"""Cutting a text into the terms that a word index holds: case, accents, punctuation and plurals make no difference."""

import html
import re
import unicodedata
from functools import cache

# What a query may say without meaning any garment. Documents keep these words; queries leave them out.
FUNCTION_WORDS = frozenset((
    "a", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "for", "from", "give", "have", "i", "in", "is",
    "it", "its", "me", "my", "of", "on", "or", "please", "show", "some", "that", "the", "their", "there", "this", "to",
    "want", "with", "without", "you", "your",
))  # fmt: skip
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "™": None, "®": None, "©": None})
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th"})
# Thai, Lao, Burmese, Khmer, kana and Han are written without spaces between words.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_FOLDED = 0x0530  # accents go after Latin, Greek and Cyrillic letters; elsewhere a mark is part of the letter


def terms_of(text: str) -> list[str]:
    """Return the terms of ``text``, in order.

    Words are folded to lower case without accents (Latin, Greek, Cyrillic), possessive and English plural endings.
    Hyphens and other punctuation divide words; a decimal sign stays in its number. Scripts without spaces give single
    characters and pairs of neighbours, as Lucene's CJK analysis does. A symbol such as an emoji is a term of its own.
    """
    plain = html.unescape(text).translate(_APOSTROPHES)
    plain = _without_accents(unicodedata.normalize("NFKC", plain).casefold())
    found: list[str] = []
    for unspaced, word, symbol in _pattern().findall(plain):
        if unspaced:
            found += [*unspaced, *(unspaced[i : i + 2] for i in range(len(unspaced) - 1))]
        elif word:
            found.append(singular(word))
        elif unicodedata.category(symbol)[0] == "S":
            found.append(symbol)
    return found


def singular(word: str) -> str:
    """Return ``word`` without a possessive or a plural ending of English; "shorts" stays, for it is no short skirt."""
    word = word.removesuffix("'s").replace("'", "")
    if not word.isascii() or len(word) < 4 or word == "shorts":
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")) and len(word) > 4:
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    kept: list[str] = []
    base = ""
    for sign in unicodedata.normalize("NFD", text.translate(_LETTERS)):
        if unicodedata.combining(sign):
            if base and ord(base) < _FOLDED:
                continue
        else:
            base = sign
        kept.append(sign)
    return unicodedata.normalize("NFC", "".join(kept))


@cache
def _pattern() -> re.Pattern[str]:
    """Return the expression of a run without spaces, a word or number, or any other sign; Python's \\w has no marks."""
    marks = "".join(re.escape(chr(i)) for i in range(0x300, 0x10000) if unicodedata.category(chr(i))[0] == "M")
    letter = rf"(?:(?![{_UNSPACED}])(?:[^\W_]|[{marks}]))"
    number = r"\d+(?:[.,]\d+)+(?![\w.,])"
    return re.compile(rf"([{_UNSPACED}]+)|({number}|{letter}+(?:'{letter}+)*)|(\S)")
