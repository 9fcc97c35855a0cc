"""Words of a query that no SKU has, and the words of the index that are one slip of the finger away."""

from collections.abc import Iterable

SHORTEST = 4  # letters: shorter words have too many neighbours
MOST = 3  # neighbours of one word


class Spelling:
    """The words that a query may have meant: ``words`` with the number of SKUs that have each.

    A neighbour is one insertion, deletion, substitution or swap of two neighbouring letters away: the optimal string
    alignment distance, by rapidfuzz. Only words of nearly the same length are compared.
    """

    def __init__(self, words: Iterable[tuple[str, int]]) -> None:
        self.counts = dict(words)
        self.of_length: dict[int, list[str]] = {}
        for word in self.counts:
            if not any(sign.isdigit() for sign in word):
                self.of_length.setdefault(len(word), []).append(word)

    def __contains__(self, word: str) -> bool:
        return word in self.counts

    def neighbours(self, word: str) -> list[str]:
        """Return at most MOST words one slip away, those of most SKUs first; none for numbers and short words."""
        if len(word) < SHORTEST or any(sign.isdigit() for sign in word):
            return []
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extract

        near = [each for length in (-1, 0, 1) for each in self.of_length.get(len(word) + length, ())]
        found = extract(word, near, scorer=OSA.distance, score_cutoff=1, limit=None)
        return sorted((each for each, _, _ in found), key=lambda each: (-self.counts[each], each))[:MOST]
