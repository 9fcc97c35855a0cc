"""A query's words, each with what else may say the same: synonyms, and neighbours in spelling."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skufp.retrieval.words.spelling import Spelling
from skufp.retrieval.words.terms import FUNCTION_WORDS, terms_of

Phrase = tuple[str, ...]
Synonyms = Mapping[Phrase, tuple[tuple[Phrase, float], ...]]  # a phrase: others that may stand for it, with weights
CORRECTED = 0.8  # what a match after a correction of spelling counts for
LONGEST = 3  # terms of a phrase


@dataclass(frozen=True)
class Unit:
    """A word of a query, or a phrase that has synonyms: its ``terms``, their ``weight``, and ``others`` with theirs."""

    terms: Phrase
    weight: float = 1.0
    others: tuple[tuple[Phrase, float], ...] = ()


def make_synonyms(pairs: Iterable[tuple[str, str, float]]) -> dict[Phrase, tuple[tuple[Phrase, float], ...]]:
    """Return what ``pairs`` (a text, another that may stand for it, and what that counts for: 0 to 1) say, by terms.

    Of two weights the higher one holds. Phrases of more than LONGEST terms are left out.
    """
    found: dict[Phrase, dict[Phrase, float]] = {}
    for one, other, weight in pairs:
        said, stands = tuple(terms_of(one)), tuple(terms_of(other))
        if said != stands and 0 < len(said) <= LONGEST and 0 < len(stands) <= LONGEST:
            others = found.setdefault(said, {})
            others[stands] = max(weight, others.get(stands, 0.0))
    return {said: tuple(others.items()) for said, others in sorted(found.items())}


def units_of(text: str, synonyms: Synonyms, spelling: Spelling) -> list[Unit]:
    """Return the units of a query, in order; function words are left out.

    An unknown word counts as its most frequent neighbour in spelling; its other neighbours are alternatives.
    """
    read = [_read(term, spelling) for term in terms_of(text) if term not in FUNCTION_WORDS]
    units: list[Unit] = []
    at = 0
    while at < len(read):
        terms = tuple(best for best, _, _ in read[at : at + LONGEST])
        size = next((n for n in range(len(terms), 0, -1) if terms[:n] in synonyms), 1)
        own, used = terms[:size], read[at : at + size]
        weight = min(weight for _, weight, _ in used)
        others = [(p, weight * w) for p, w in synonyms.get(own, ()) if not _one_holds_the_other(p, own)]
        if size == 1:
            others += [((near,), CORRECTED) for near in used[0][2]]
        units.append(Unit(own, weight, tuple(others)))
        at += size
    return units


def _read(term: str, spelling: Spelling) -> tuple[str, float, list[str]]:
    """Return the term to look up, its weight, and further neighbours."""
    if term in spelling:
        return term, 1.0, []
    near = spelling.neighbours(term)
    return (near[0], CORRECTED, near[1:]) if near else (term, 1.0, [])


def _one_holds_the_other(phrase: Phrase, own: Phrase) -> bool:
    """Tell whether one has all terms of the other: then the query's own terms find it already."""
    return set(phrase) <= set(own) or set(own) <= set(phrase)
