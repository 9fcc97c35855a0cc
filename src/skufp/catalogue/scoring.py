"""Zero-shot scores of attribute values, and their calibration as probabilities.

Legend: N rows (products), R views, V views of one product, K values, P prompts, D dim of embeddings.
"""

import numpy as np

from skufp.errors import UserError

COLDEST, HOTTEST = 1e-3, 1e2  # limits of a temperature: if all labelled rows are right, the optimum would be 0
FEWEST = 10  # labelled products that a threshold needs


def value_vectors(prompts: np.ndarray, value_of_prompt: np.ndarray, values: int) -> np.ndarray:
    """Return one unit vector per value [K, D]: the mean of the unit vectors of its prompts.

    Prompt ensembling of Radford et al. 2021 (CLIP), section 3.1.4. prompts [P, D]; value_of_prompt [P] below K.
    """
    sums = np.zeros((values, prompts.shape[1]), np.float64)
    np.add.at(sums, value_of_prompt, _unit(prompts))
    return _unit(sums).astype(np.float32)


def value_scores(views: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a product's score of each value [K]: the mean cosine of its views [V, D] with ``values`` [K, D].

    A mean of scores before the softmax is the views' normalised geometric mean after it: a view that clearly excludes a
    value has more weight than an undecided view.
    """
    return (_unit(views) @ _unit(values).T).mean(axis=0)


def scores_by_product(views: np.ndarray, product_of_view: np.ndarray, products: int, values: np.ndarray) -> np.ndarray:
    """Return value_scores of many products [N, K]; views [R, D], product_of_view [R] below N. NaN without a view."""
    sums = np.zeros((products, len(values)))
    np.add.at(sums, product_of_view, _unit(views) @ _unit(values).T)
    count = np.bincount(product_of_view, minlength=products)[:, None]
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def log_softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return log probabilities of ``scores`` [..., K] at a temperature."""
    scaled = np.asarray(scores, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))


def nll(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log likelihood of ``labels`` [N] under [N, K]."""
    return float(-np.take_along_axis(log_probabilities, labels[:, None], axis=1).mean())


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that minimises the NLL of ``labels`` [N] under softmax(scores / temperature).

    Temperature scaling of Guo et al. 2017 (On Calibration of Modern Neural Networks), within COLDEST to HOTTEST.
    """
    return 1 / fit_weight(np.zeros_like(scores, dtype=float), scores, labels, 1 / HOTTEST, 1 / COLDEST)


def fit_weight(base: np.ndarray, added: np.ndarray, labels: np.ndarray, low: float = 0.0, high: float = 4.0) -> float:
    """Return the weight w in low to high that minimises the NLL of ``labels`` [N] under softmax(base + w added).

    base and added [N, K] are scores, or the log probabilities of two experts; w is then the weight of the second in
    their product (Hinton 2002). The NLL is convex in w, so its slope is bisected. UserError without labels.
    """
    if not len(labels):
        raise UserError("there is nothing to calibrate on: no product has a label of this attribute")
    if _slope(base, added, labels, low) >= 0:
        return low
    if _slope(base, added, labels, high) <= 0:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(base, added, labels, middle) < 0 else (low, middle)
    return (low + high) / 2


def combine(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Return log probabilities of the product of two experts, given by log probabilities [..., K]."""
    return log_softmax(first + weight * second)


def choose_threshold(confidence: np.ndarray, right: np.ndarray, precision: float) -> float:
    """Return the lowest threshold above which a share ``precision`` of the rows is right; infinite if there is none.

    confidence [N] and right [N] of labelled rows. Rows of equal confidence are accepted together. At least FEWEST rows
    must be accepted.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, hits = confidence[order], np.cumsum(right[order])
    accepted = np.arange(1, len(ranked) + 1)
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, bool)
    good = last_of_equals & (accepted >= FEWEST) & (hits >= precision * accepted - 1e-9)
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else float("inf")


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error: bins' mean |confidence - share right|, weighted by their rows; 0 to 1."""
    if not len(confidence):
        return 0.0
    of_row = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(of_row, confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _slope(base: np.ndarray, added: np.ndarray, labels: np.ndarray, weight: float) -> float:
    """Return the derivative of the NLL with respect to the weight: the expected score less the labels' score."""
    expected = (np.exp(log_softmax(base + weight * added)) * added).sum(axis=1)
    return float((expected - np.take_along_axis(added, labels[:, None], axis=1)[:, 0]).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
