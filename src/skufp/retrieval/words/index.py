"""A word index of SKUs: BM25 scores computed once, kept as a sparse matrix that is mapped into memory.

Legend: S SKUs, T terms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.folder import read_json, write_json
from skufp.retrieval.words.query import Phrase, Synonyms, Unit, units_of
from skufp.retrieval.words.spelling import Spelling
from skufp.retrieval.words.terms import terms_of

K1, B = 1.2, 0.75
ABOUT, SYNONYMS = "words.json", "synonyms.json"
Document = Sequence[tuple[str, int]]  # a SKU's texts, each with the weight of its field


@dataclass(frozen=True)
class WordScores:
    """``scores`` [S] of one query, from 0 to 1, and the share of the query's words that the index knows.

    A score is the sum over the query's words of the SKU's BM25 score, divided by the sum of each word's best score in
    the index, times ``known``. It is 1 where one SKU holds every word as firmly as any SKU does.
    """

    scores: np.ndarray
    known: float


class WordIndex:
    """The words of S SKUs, by number, and what queries may say instead of them (``synonyms``).

    BM25 as in Lucene (Robertson and Zaragoza 2009; Kamphuis et al. 2020), by bm25s (Lù 2024). Fields have weights by
    BM25F (Robertson, Zaragoza and Taylor 2004): a term counts as often as its field weighs. A field's weight is an
    integer.
    """

    def __init__(self, skus: int, vocabulary: dict[str, int], matrix: dict[str, np.ndarray], synonyms: Synonyms):
        self.skus, self.vocabulary, self.synonyms = skus, vocabulary, synonyms
        self.data, self.rows, self.starts = matrix["data"], matrix["indices"], matrix["indptr"]

    @classmethod
    def build(cls, documents: Iterable[Document], synonyms: Synonyms | None = None) -> "WordIndex":
        """Return the index of ``documents``, one a SKU in the order of numbers."""
        counted = [[term for text, weight in each for term in terms_of(text) * weight] for each in documents]
        vocabulary = {term: i for i, term in enumerate(sorted({term for terms in counted for term in terms}))}
        matrix: dict[str, Any] = {
            "data": np.zeros(0, np.float32), "indices": np.zeros(0, np.int32), "indptr": np.zeros(1, np.int32)
        }  # fmt: skip
        if vocabulary:
            from bm25s import BM25

            library = BM25(k1=K1, b=B, method="lucene", csc_backend="numpy")
            numbers = [[vocabulary[term] for term in terms] for terms in counted]
            library.index((numbers, dict(vocabulary)), create_empty_token=False, show_progress=False)
            matrix = library.scores
        return cls(len(counted), vocabulary, matrix, synonyms or {})

    @property
    def empty(self) -> bool:
        """Whether no SKU has any word."""
        return not self.vocabulary

    @cached_property
    def spelling(self) -> Spelling:
        """The words that queries are compared with: the index's own, and those of its synonyms."""
        counts = np.diff(self.starts).tolist()
        of_synonyms = {term: 0 for phrase in self.synonyms for term in phrase}
        return Spelling((of_synonyms | {term: counts[i] for term, i in self.vocabulary.items()}).items())

    def units(self, text: str) -> list[Unit]:
        """Return what the index looks up for a query."""
        return units_of(text, self.synonyms, self.spelling)

    def search(self, text: str) -> WordScores | None:
        """Return every SKU's score for a query; None where the index knows none of its words."""
        units = self.units(text)
        found = [scores for unit in units if (scores := self._scores(unit)) is not None]
        if not found:
            return None
        total, best = np.zeros(self.skus, np.float32), 0.0
        for scores in found:
            total += scores
            best += float(scores.max())
        known = len(found) / len(units)
        return WordScores(total * np.float32(known / best), known)

    def holders(self, text: str) -> np.ndarray:
        """Return [S] bool: the SKUs that have every term of ``text``, as it stands there."""
        held = np.zeros(self.skus, np.int64)
        terms = set(terms_of(text))
        for term in terms:
            held[self._posting(term)[0]] += 1
        return held == len(terms)

    def _scores(self, unit: Unit) -> np.ndarray | None:
        """Return [S]: the best of what a unit's own terms and each of its other phrases score; None for nothing."""
        scores = np.zeros(self.skus, np.float32)
        for term in unit.terms:
            rows, values = self._posting(term)
            scores[rows] += np.float32(unit.weight) * values
        for phrase, weight in unit.others:
            rows, values = self._whole(phrase)
            scale = np.float32(weight * len(unit.terms) / len(phrase))  # however long, it stands for the unit
            scores[rows] = np.maximum(scores[rows], scale * values)
        return scores if scores.any() else None

    def _whole(self, phrase: Phrase) -> tuple[np.ndarray, np.ndarray]:
        """Return the SKUs that have every term of a phrase, and the sums of their scores."""
        rows, values = self._posting(phrase[0])
        for term in phrase[1:]:
            others, more = self._posting(term)
            rows, own, of_other = np.intersect1d(rows, others, assume_unique=True, return_indices=True)
            values = values[own] + more[of_other]
        return rows, values

    def _posting(self, term: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the SKUs that have a term, and their scores."""
        column = self.vocabulary.get(term)
        own = slice(0, 0) if column is None else slice(int(self.starts[column]), int(self.starts[column + 1]))
        return self.rows[own], self.data[own]

    def save(self, folder: Path) -> None:
        """Write words.json, synonyms.json and three .npy files: the matrix [S, T], column by column."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in (("data", self.data), ("rows", self.rows), ("starts", self.starts)):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        write_json(folder / ABOUT, {"skus": self.skus, "k1": K1, "b": B, "terms": list(self.vocabulary)})
        write_json(
            folder / SYNONYMS,
            [[" ".join(one), [[" ".join(p), w] for p, w in others]] for one, others in self.synonyms.items()],
        )

    @classmethod
    def load(cls, folder: Path) -> "WordIndex":
        """Open what save wrote; the matrix stays on the disk and is never written to."""
        about, files = read_json(folder / ABOUT), {"data": "data", "indices": "rows", "indptr": "starts"}
        matrix = {
            key: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for key, name in files.items()
        }
        synonyms = {
            tuple(one.split(" ")): tuple((tuple(phrase.split(" ")), weight) for phrase, weight in others)
            for one, others in read_json(folder / SYNONYMS)
        }
        return cls(about["skus"], {term: i for i, term in enumerate(about["terms"])}, matrix, synonyms)
