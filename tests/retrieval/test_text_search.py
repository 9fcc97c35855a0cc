"""Vectors, words and hybrid on one set of queries: ranks, bounds and paired differences by hand."""

import numpy as np
import pytest

from skufp.retrieval.evaluation.simulated_texts import Described
from skufp.retrieval.evaluation.text_search import (
    TextQuery,
    best_of,
    compare_modes,
    guess,
    ranks_by_mode,
    simulated_queries,
)
from skufp.retrieval.words.index import WordIndex

INDEX = WordIndex.build([[("red shirt", 1)], [("blue shirt", 1)], [("blue shirt", 1)], [("red skirt", 1)]])
SKUS = np.eye(4, dtype=np.float32)
QUERIES = [
    TextQuery("title_part", "red shirt", "red shirt", 0),
    TextQuery("title_part", "blue shirt", "blue shirt", 1),
    TextQuery("labels", "zeppelin", "zeppelin", 3),
]
VECTORS = np.array([[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], np.float32)


def test_ranks_by_mode_are_those_by_hand() -> None:
    ranks = ranks_by_mode(INDEX, SKUS, VECTORS, QUERIES, 0.7)
    assert ranks["vector"].tolist() == [4, 1, 1]  # three SKUs tie at cosine 0: against the query
    assert ranks["words"].tolist() == [1, 2, 4]  # two equal SKUs; then no word known: last
    assert ranks["hybrid"].tolist() == [1, 1, 1]  # vectors part the equal SKUs, and stand in for words


def test_figures_are_means_and_differences_paired() -> None:
    ranks = ranks_by_mode(INDEX, SKUS, VECTORS, QUERIES, 0.7)
    alike = np.array([1, 2, 2, 1])
    found = compare_modes(ranks, QUERIES, alike, INDEX, 50, 0)
    assert list(found) == ["title_part", "labels"]
    own = found["title_part"]
    assert (own["texts"], own["distinct"], own["skus"]) == (2, 2, 2)
    assert (own["vector"]["recall@1"], own["words"]["mrr"], own["hybrid"]["mrr"]) == (0.5, 0.75, 1.0)
    assert own["hybrid"]["minus_vector"]["mrr"]["mean"] == pytest.approx(1 - (1 / 4 + 1) / 2)
    assert own["vector"]["minus_vector"] == {}
    assert own["best"]["recall@1"] == 0.75
    assert own["guess"] == 0.75
    assert found["labels"]["guess"] is None


def test_bounds_are_those_of_guessing_among_equals() -> None:
    assert best_of(np.array([1, 1])) == {"recall@1": 1, "recall@5": 1, "mrr": 1}
    found = best_of(np.array([10]))
    assert found == pytest.approx({"recall@1": 0.1, "recall@5": 0.5, "mrr": sum(1 / i for i in range(1, 11)) / 10})
    assert guess(INDEX, [TextQuery("typo", "shrt", "shirt", 2)]) == pytest.approx(1 / 3)


def test_simulated_queries_stand_kind_by_kind() -> None:
    said = [Described("Thorpe Pant", "red", "trousers"), Described("", "", ""), Described("Miko Tank", "blue", "vest")]
    queries = simulated_queries(said, [0, 2], 0)
    assert [q.kind for q in queries] == [k for k in ("title_part", "typo", "word_order", "synonyms") for _ in range(2)]
    assert [q.sku for q in queries] == [0, 2] * 4
