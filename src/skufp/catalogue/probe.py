"""A linear probe of one attribute: multinomial logistic regression on product embeddings.

Legend: N labelled products, D dim of embeddings, C values that occur among the labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skufp.catalogue.scoring import log_softmax, nll
from skufp.errors import UserError

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
UNSEEN = -1e3  # log probability of a value without labels, which the probe cannot predict


@dataclass(frozen=True)
class Probe:
    """Weights [D, C] and bias [C] for ``values``; inputs are (embedding - ``mean``) / ``scale``, with mean [D]."""

    values: tuple[str, ...]
    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: float

    def scores(self, embeddings: np.ndarray, values: Sequence[str]) -> np.ndarray:
        """Return [N, K] scores of all ``values``, UNSEEN for those without a label."""
        logits = ((embeddings - self.mean) / self.scale) @ self.weight + self.bias
        return _spread(logits, self.values, values)

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as plain lists."""
        arrays = {"weight": self.weight.tolist(), "bias": self.bias.tolist(), "mean": self.mean.tolist()}
        return {"values": list(self.values), "scale": self.scale, **arrays}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Probe":
        """Make a probe from to_dict's result."""
        arrays = {name: np.array(row[name]) for name in ("weight", "bias", "mean")}
        return cls(tuple(row["values"]), scale=row["scale"], **arrays)


@dataclass(frozen=True)
class FittedProbe:
    """A probe, its ``penalty``, and ``left_out`` [N, K]: each row's scores by a probe trained without its group."""

    probe: Probe
    penalty: float
    left_out: np.ndarray


def fit_probe(
    embeddings: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str],
    values: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
) -> FittedProbe:
    """Fit a probe on ``embeddings`` [N, D], with the penalty of least NLL on left-out groups.

    A group of ``groups`` [N] stays in one fold (colours of one style look alike). Fit temperature and threshold on
    ``left_out``: a probe is overconfident on its training rows. Raises UserError for fewer than two values, or fewer
    than two groups, or a label that is not among ``values``.
    """
    embeddings = np.asarray(embeddings, np.float64)
    if unknown := sorted(set(labels) - set(values)):
        raise UserError(f"labels of a probe: no such value: {', '.join(unknown)}; there are {', '.join(values)}")
    seen = tuple(value for value in values if value in set(labels))
    if len(seen) < 2 or len(set(groups)) < 2:
        raise UserError(
            f"a probe needs labels of two values or more, and of two products or more; there are {len(set(groups))}"
            f" products of {', '.join(seen) or 'no value'}"
        )
    fold = _folds(groups)
    target = np.array([list(values).index(label) for label in labels])
    tried = [(p, _left_out(embeddings, labels, fold, values, p)) for p in penalties]
    penalty, left_out = min(tried, key=lambda pair: nll(log_softmax(np.maximum(pair[1], -30.0)), target))
    return FittedProbe(_fit(embeddings, labels, seen, penalty), penalty, left_out)


def _folds(groups: Sequence[str]) -> np.ndarray:
    """Assign groups, the largest first, to the fold with the fewest rows."""
    names, of_row, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    sizes = np.zeros(min(FOLDS, len(names)))
    fold = np.zeros(len(names), int)
    for group in np.argsort(-counts, kind="stable"):
        fold[group] = sizes.argmin()
        sizes[fold[group]] += counts[group]
    return fold[of_row]


def _left_out(
    embeddings: np.ndarray, labels: Sequence[str], fold: np.ndarray, values: Sequence[str], penalty: float
) -> np.ndarray:
    scores = np.zeros((len(embeddings), len(values)))
    for out in np.unique(fold):
        learn = fold != out
        own = [label for label, kept in zip(labels, learn, strict=True) if kept]
        seen = tuple(value for value in values if value in set(own))
        scores[~learn] = _fit(embeddings[learn], own, seen, penalty).scores(embeddings[~learn], values)
    return scores


def _fit(embeddings: np.ndarray, labels: Sequence[str], values: tuple[str, ...], penalty: float) -> Probe:
    """Minimise mean NLL + penalty / 2 |weight|² by L-BFGS; inputs are centred and share one scale."""
    import torch

    mean = embeddings.mean(axis=0)
    scale = max(float(np.sqrt(np.square(embeddings - mean).mean())), 1e-12)
    inputs = torch.from_numpy((embeddings - mean) / scale)
    target = torch.tensor([values.index(label) for label in labels])
    weight = torch.zeros(embeddings.shape[1], len(values), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(values), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weight + bias, target) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Probe(values, weight.detach().numpy(), bias.detach().numpy(), mean, scale)


def _spread(logits: np.ndarray, of: Sequence[str], values: Sequence[str]) -> np.ndarray:
    spread = np.full((len(logits), len(values)), UNSEEN)
    spread[:, [list(values).index(value) for value in of]] = log_softmax(logits)
    return spread
