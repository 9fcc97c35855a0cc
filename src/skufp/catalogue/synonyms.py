"""What a shopper may say instead of a word: pairs from the lists of the vocabulary and from the lexicon's variants."""

from collections.abc import Iterator

from skufp.catalogue.lexicon import Lexicon
from skufp.catalogue.vocabulary import Category, Term, Vocabulary

NEARLY, SAME = 0.7, 1.0  # what a match by another name of the vocabulary counts for, and by a variant


def synonym_pairs(vocabulary: Vocabulary, lexicon: Lexicon) -> Iterator[tuple[str, str, float]]:
    """Yield (a text, another that may stand for it, its weight) of all attribute values, categories and variants.

    A name and each of its other spellings stand for each other; two other spellings of one name do not: "olive" and
    "mint" are both listed under green. Variants, which say the same, all stand for each other.
    """
    terms: list[Term | Category] = [t for a in vocabulary.attributes.values() for t in a.terms.values()]
    for term in [*terms, *vocabulary.categories.values()]:
        for other in (each for each in (*term.words, *term.also) if not _is_path(each)):
            yield term.name, other, NEARLY
            yield other, term.name, NEARLY
    variants: dict[str, list[str]] = {}
    for words, meant in lexicon.same.items():
        variants.setdefault(meant, []).append(" ".join(words))
    for same in variants.values():
        yield from ((one, other, SAME) for one in same for other in same if one != other)


def _is_path(name: str) -> bool:
    """Tell whether another name of a category is a place in a shop's tree: Women/Tops/Tees."""
    return "/" in name and not name[0].isdigit()
