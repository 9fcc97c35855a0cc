"""Text search by vectors, by words and by both, on one set of queries.

Legend: Q queries, S SKUs, D dim.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import Interval, resampled_means
from skufp.retrieval.evaluation.simulated_texts import Described, simulate
from skufp.retrieval.metrics import BLOCK, per_query, ranks_of_target
from skufp.retrieval.words.fusion import HYBRID, VECTOR, WORDS, choose_weight, scores_of
from skufp.retrieval.words.index import WordIndex

SHOWN = ("recall@1", "recall@5", "mrr")
LABELS = "labels"  # the kind of the queries that are made of labels
ORDER = (VECTOR, WORDS, HYBRID)


@dataclass(frozen=True)
class TextQuery:
    """A query of some ``kind`` for a ``sku`` (its number): its ``text``, and the words it ``means`` (see Asked)."""

    kind: str
    text: str
    means: str
    sku: int


def simulated_queries(described: Sequence[Described], skus: Sequence[int], seed: int) -> list[TextQuery]:
    """Return the simulated queries of the ``skus``, kind by kind."""
    made = [(sku, simulate(described[sku], seed)) for sku in skus]
    kinds = dict.fromkeys(kind for _, own in made for kind in own)
    return [TextQuery(k, own[k].text, own[k].means, sku) for k in kinds for sku, own in made if k in own]


def ranks_by_mode(
    index: WordIndex, skus: np.ndarray, vectors: np.ndarray, queries: Sequence[TextQuery], weight: float
) -> dict[str, np.ndarray]:
    """Return the rank [Q] of each query's SKU by mode; ``skus`` [S, D] and ``vectors`` [Q, D] are unit vectors.

    Ties count against a query: one whose words the index does not know is last by words.
    """
    ranks = {mode: np.zeros(len(queries), np.int64) for mode in ORDER}
    for start in range(0, len(queries), BLOCK):
        cosines = vectors[start : start + BLOCK] @ skus.T
        for row, (query, own) in enumerate(zip(queries[start : start + BLOCK], cosines, strict=True), start):
            words = index.search(query.text)
            for mode in ORDER:
                scores = scores_of(mode, own, words, weight)
                ranks[mode][row] = ranks_of_target(scores[None], np.array([query.sku]))[0]
    return ranks


def choose_by(index: WordIndex, skus: np.ndarray, vectors: np.ndarray, queries: Sequence[TextQuery]) -> float:
    """Return the weight of words that ranks the ``queries`` best: see choose_weight."""
    target = np.array([query.sku for query in queries], np.int64)
    return choose_weight(index, vectors @ skus.T, [query.text for query in queries], target)


def compare_modes(
    ranks: dict[str, np.ndarray],
    queries: Sequence[TextQuery],
    bounds: np.ndarray,
    index: WordIndex,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return, for each kind of query, the figures of every mode with intervals over SKUs, and the bounds.

    ``best`` is what a perfect reader is expected to reach who must guess among the SKUs that are described alike
    (``bounds`` [S] counts them). ``guess`` is the Recall@1 of one who guesses among the SKUs that have all of the
    query's words, before typos and synonyms; None where some query has words that its SKU has not.
    ``minus_vector`` are paired differences.
    """
    kinds = np.array([query.kind for query in queries], object)
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(kinds.tolist()):
        own = np.flatnonzero(kinds == kind)
        asked = [queries[i] for i in own.tolist()]
        sku = np.array([query.sku for query in asked])
        found[kind] = {
            "texts": len(asked), "distinct": len({q.text for q in asked}), "skus": len(np.unique(sku)),
            "best": best_of(bounds[sku]), "guess": guess(index, asked),
        }  # fmt: skip
        found[kind] |= _figures({mode: ranks[mode][own] for mode in ORDER}, sku, resamples, seed)
    return found


def _figures(ranks: dict[str, np.ndarray], sku: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    values = {mode: per_query(own) for mode, own in ranks.items()}
    rows: dict[str, Any] = {mode: {"interval": {}, "minus_vector": {}} for mode in ORDER}
    for metric in SHOWN:
        means = resampled_means(np.stack([values[mode][metric] for mode in ORDER], axis=1), sku, resamples, seed).T
        for mode, own in zip(ORDER, means, strict=True):
            rows[mode][metric] = float(own[0])
            rows[mode]["interval"][metric] = asdict(Interval.of(own))
            if mode != VECTOR:
                rows[mode]["minus_vector"][metric] = asdict(Interval.of(own - means[0]))
    return rows


def best_of(alike: np.ndarray) -> dict[str, float]:
    """Return the expected metrics of guessing among ``alike`` [Q] SKUs: 1/n, min(n, 5)/n and the mean of 1/rank."""
    own = alike.astype(float)
    harmonic = np.array([(1 / np.arange(1, n + 1)).sum() for n in alike.tolist()])
    figures = (1 / own, np.minimum(own, 5) / own, harmonic / own)
    return {name: float(each.mean()) for name, each in zip(SHOWN, figures, strict=True)}


def guess(index: WordIndex, queries: Sequence[TextQuery]) -> float | None:
    """Return the expected Recall@1 of guessing among the SKUs that have all words each query means."""
    held = [index.holders(query.means) for query in queries]
    if not all(own[query.sku] for own, query in zip(held, queries, strict=True)):
        return None
    return float(np.mean([1 / own.sum() for own in held]))
