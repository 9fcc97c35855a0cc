import numpy as np
import pytest

from skufp.catalogue.probe import Probe, fit_probe
from skufp.catalogue.scoring import log_softmax
from skufp.errors import UserError

VALUES = ("black", "white", "red")


def clusters(rows: int, spread: float, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Three clusters in 6 dimensions, far off the origin; every two rows are one group."""
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % 3
    embeddings = 5 + np.eye(6)[label] + rng.normal(size=(rows, 6)) * spread
    return embeddings, [VALUES[i] for i in label], [str(i // 6) for i in range(rows)]


def test_separable_clusters_are_told_apart_and_saved_weights_say_the_same():
    embeddings, labels, groups = clusters(60, 0.1)
    fitted = fit_probe(embeddings, labels, groups, VALUES)
    assert [VALUES[i] for i in fitted.left_out.argmax(axis=1)] == labels
    again = Probe.from_dict(fitted.probe.to_dict())
    scores = again.scores(embeddings, VALUES)
    assert np.allclose(scores, fitted.probe.scores(embeddings, VALUES))
    assert [VALUES[i] for i in scores.argmax(axis=1)] == labels


def test_the_optimum_has_no_slope():
    # At the minimum, the gradient of mean NLL is -penalty * weight, and that of the bias is 0.
    embeddings, labels, groups = clusters(90, 0.7)
    fitted = fit_probe(embeddings, labels, groups, VALUES, penalties=[0.1])
    probe = fitted.probe
    inputs = (embeddings - probe.mean) / probe.scale
    error = np.exp(log_softmax(inputs @ probe.weight + probe.bias)) - np.eye(3)[[VALUES.index(v) for v in labels]]
    assert np.allclose(inputs.T @ error / 90, -0.1 * probe.weight, atol=1e-5)
    assert np.allclose(error.mean(axis=0), 0, atol=1e-5)


def test_noise_asks_for_a_larger_penalty_than_signal():
    clear = fit_probe(*clusters(60, 0.05), VALUES)
    embeddings, labels, groups = clusters(60, 3.0)
    assert fit_probe(embeddings, labels, groups, VALUES).penalty > clear.penalty


def test_left_out_scores_know_nothing_of_their_group():
    # A group's own label is told by nothing but a dimension that is its alone.
    labels = [VALUES[i % 2] for i in range(20)]
    fitted = fit_probe(np.eye(20), labels, [str(i) for i in range(20)], VALUES, penalties=[1e-4])
    learnt = fitted.probe.scores(np.eye(20), VALUES).argmax(axis=1)
    assert [VALUES[i] for i in learnt] == labels
    shares = np.exp(log_softmax(fitted.left_out))[np.arange(20), [VALUES.index(v) for v in labels]]
    assert shares.mean() < 0.6


def test_no_fold_cuts_a_group_in_two():
    # Two colours of a style share a dimension that is the style's alone, and the label.
    style = np.arange(40) // 2
    labels = [VALUES[i] for i in np.random.default_rng(1).integers(0, 2, 20)[style]]
    fitted = fit_probe(np.eye(20)[style], labels, [str(i) for i in style], VALUES, penalties=[1e-4])
    shares = np.exp(log_softmax(fitted.left_out))[np.arange(40), [VALUES.index(v) for v in labels]]
    assert shares.mean() < 0.6


def test_a_value_without_a_label_gets_none_of_the_probability():
    embeddings, labels, groups = clusters(60, 0.1)
    keep = [i for i, label in enumerate(labels) if label != "white"]
    fitted = fit_probe(embeddings[keep], [labels[i] for i in keep], [groups[i] for i in keep], VALUES)
    assert np.exp(log_softmax(fitted.probe.scores(embeddings, VALUES)))[:, 1].max() == 0.0


def test_what_cannot_be_fitted_is_refused():
    embeddings, labels, groups = clusters(6, 0.1)
    with pytest.raises(UserError, match="two values or more"):
        fit_probe(embeddings, ["red"] * 6, ["a", "b"] * 3, VALUES)
    with pytest.raises(UserError, match="two products or more"):
        fit_probe(embeddings, labels, groups, VALUES)
    with pytest.raises(UserError, match="no such value: teal"):
        fit_probe(embeddings, ["teal", *labels[1:]], groups, VALUES)
