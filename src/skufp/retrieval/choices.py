"""Choices of one action for every query, scored by the rank that each action gives it.

Legend: Q queries, A actions (identity first).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import Interval, resampled_means
from skufp.retrieval.comparison import share_of_gap
from skufp.retrieval.metrics import per_query

IDENTITY, RANDOM, POLICY, ORACLE, HINDSIGHT = "identity", "random", "policy", "oracle", "hindsight"
METRICS = ("recall@1", "recall@5", "recall@10", "mrr")


@dataclass(frozen=True)
class Choice:
    """A choice: its ``ranks`` [Q], or [A, Q] where actions are equally likely; and the share acted on."""

    name: str
    ranks: np.ndarray
    acted: float

    def values(self) -> dict[str, np.ndarray]:
        """Return every query's own (expected) value [Q] of each metric."""
        return {metric: np.atleast_2d(v).mean(axis=0) for metric, v in per_query(self.ranks).items()}


def best_action(ranks: np.ndarray) -> np.ndarray:
    """Return [Q]: the action of the best rank in ``ranks`` [Q, A]; of ties the first, hence identity."""
    return np.asarray(ranks).argmin(axis=1)


def choices(actions: list[str], ranks: np.ndarray, twin_ranks: np.ndarray, policy: np.ndarray) -> list[Choice]:
    """Return the choices to compare: identity, each fixed action, random, the policy, the oracle, hindsight.

    ``ranks`` and ``twin_ranks`` [Q, A] are of the queries and of their noisy twins, ``policy`` [Q] action numbers.
    The oracle chooses by the twin's ranks and is scored by the query's. Hindsight chooses by the query's own ranks: an
    upper bound that noise inflates. A random action is drawn from all A: its figures are exact expectations.
    """

    def chosen(name: str, action: np.ndarray) -> Choice:
        return Choice(name, ranks[np.arange(len(ranks)), action], float((action > 0).mean()))

    fixed = [Choice(name, ranks[:, a], float(a > 0)) for a, name in enumerate(actions)]
    return [
        *fixed, Choice(RANDOM, ranks.T, 1 - 1 / len(actions)), chosen(POLICY, policy),
        chosen(ORACLE, best_action(twin_ranks)), chosen(HINDSIGHT, best_action(ranks)),
    ]  # fmt: skip


def compare_choices(compared: list[Choice], sku: np.ndarray, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return for each choice its metrics, with intervals over SKUs ``sku`` [Q] that all choices share.

    ``minus_identity`` are paired differences; ``regret`` is the oracle's reciprocal rank less the choice's;
    ``gap_closed`` is the share of the distance identity -> oracle, a ratio of resampled means, None where that distance
    is not above 0 with its interval.
    """
    rows: dict[str, dict[str, Any]] = {
        c.name: {"acted": c.acted, "interval": {}, "minus_identity": {}, "gap_closed": {}} for c in compared
    }
    values = {c.name: c.values() for c in compared}
    for metric in METRICS:
        table = np.stack([values[name][metric] for name in rows], axis=1)
        means = dict(zip(rows, resampled_means(table, sku, resamples, seed).T, strict=True))
        for name, row in rows.items():
            row[metric] = float(means[name][0])
            row["interval"][metric] = asdict(Interval.of(means[name]))
            row["minus_identity"][metric] = asdict(Interval.of(means[name] - means[IDENTITY]))
            row["gap_closed"][metric] = share_of_gap(means[name], means[IDENTITY], means[ORACLE])
            if metric == "mrr":
                row["regret"] = asdict(Interval.of(means[ORACLE] - means[name]))
    return rows


def confusion(chosen: np.ndarray, best: np.ndarray, actions: int) -> np.ndarray:
    """Return the confusion matrix [A, A]: numbers of queries by ``chosen`` [Q] (rows) and ``best`` [Q] (columns)."""
    table = np.zeros((actions, actions), np.int64)
    np.add.at(table, (chosen, best), 1)
    return table
