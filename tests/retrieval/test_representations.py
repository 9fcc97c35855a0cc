"""Baselines: mean of views and one vector per view."""

import numpy as np
import pytest
import torch

from skufp.models.aggregators.pooling import GeM, Mean, Medoid, TrimmedMean
from skufp.retrieval import representations
from skufp.retrieval.representations import aggregate, mean_of_views, multi_vector_scores, normalise
from skufp.retrieval.sku_blocks import sku_blocks


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    return normalise(np.random.default_rng(0).normal(size=(14, 6))).astype(np.float32)


SKU = np.array([2, 0, 0, 1, 2, 4, 4, 4, 0, 1, 1, 2, 2, 0])  # SKU 3 has no view


def test_mean_equals_a_naive_loop(views: np.ndarray) -> None:
    means = mean_of_views(views, SKU, 5)
    assert means.dtype == np.float32
    for sku in range(5):
        own = [views[i] for i in range(14) if SKU[i] == sku]
        expected = sum(own) / np.linalg.norm(sum(own)) if own else np.zeros(6)
        np.testing.assert_allclose(means[sku], expected, atol=1e-6)


def test_mean_of_one_view_is_the_view(views: np.ndarray) -> None:
    np.testing.assert_allclose(mean_of_views(views, np.arange(14), 14), views, atol=1e-6)


def test_hand_placed_angles() -> None:
    views = np.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(mean_of_views(views, np.array([0, 0]), 1), [[0.5**0.5, 0.5**0.5]], atol=1e-6)


def test_multi_vector_equals_a_naive_loop(views: np.ndarray) -> None:
    queries = normalise(np.random.default_rng(1).normal(size=(4, 6))).astype(np.float32)
    scores = multi_vector_scores(queries, views, SKU, 5)
    for q in range(4):
        for sku in range(5):
            own = [float(queries[q] @ views[i]) for i in range(14) if SKU[i] == sku]
            assert scores[q, sku] == pytest.approx(max(own) if own else -np.inf, abs=1e-6)


def test_normalise_keeps_zero_rows_and_the_direction() -> None:
    rows = normalise(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [-1, 0]])


@pytest.mark.parametrize(
    "module", [Mean(6), Medoid(6), TrimmedMean(6, 0.4), GeM(6, p=3.0)], ids=lambda m: type(m).__name__
)
def test_aggregate_equals_one_sku_at_a_time(
    views: np.ndarray, module: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(representations, "sku_blocks", lambda sku: sku_blocks(sku, most=4))  # several blocks
    result = aggregate(module, views, SKU, 5)
    assert result.dtype == np.float32
    for sku in (0, 1, 2, 4):
        own = torch.from_numpy(views[sku == SKU])[None]
        count = own.shape[1]
        expected = module(own, torch.ones(1, count, dtype=torch.bool), torch.zeros(1, count, 4, dtype=torch.long))
        np.testing.assert_allclose(result[sku], expected[0].numpy(), atol=1e-6)
    assert not result[3].any()  # it has no view


def test_aggregated_mean_is_the_mean_of_views(views: np.ndarray) -> None:
    np.testing.assert_allclose(aggregate(Mean(6), views, SKU, 5), mean_of_views(views, SKU, 5), atol=1e-6)
