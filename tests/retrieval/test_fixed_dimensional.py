"""MUVERA-style encodings against buckets filled by hand and one SKU at a time."""

import numpy as np
import pytest

from skufp.errors import UserError
from skufp.retrieval.fixed_dimensional import FixedDimensionalEncoding
from skufp.retrieval.metrics import max_per_sku
from skufp.retrieval.representations import normalise


def _quadrants() -> FixedDimensionalEncoding:
    """Buckets of the plane: bit 0 is x > 0, bit 1 is y > 0; nothing is projected away."""
    return FixedDimensionalEncoding(np.eye(2, dtype=np.float32)[None], np.eye(2, dtype=np.float32)[None])


def test_buckets_by_hand() -> None:
    # Two views in quadrant 3 (+, +), one in quadrant 0 (-, -): the others take the view nearest in Hamming distance.
    views = np.array([[0.6, 0.8], [-0.8, -0.6], [0.8, 0.6]], np.float32)
    encoded = _quadrants().encode_skus(views, np.zeros(3, np.int64), 1).reshape(4, 2)
    mean, other = [0.7, 0.7], [-0.8, -0.6]
    np.testing.assert_allclose(encoded[3], mean, atol=1e-6)
    np.testing.assert_allclose(encoded[0], other, atol=1e-6)
    # Codes 1 and 2 are one bit from both: the SKU's first view wins the tie.
    np.testing.assert_allclose(encoded[[1, 2]], [views[0], views[0]], atol=1e-6)


def test_a_query_fills_its_own_bucket_alone() -> None:
    encoded = _quadrants().encode_queries(np.array([[-0.6, 0.8]], np.float32)).reshape(4, 2)
    np.testing.assert_allclose(encoded, [[0, 0], [0, 0], [-0.6, 0.8], [0, 0]])


def test_score_is_the_mean_similarity_within_the_querys_bucket() -> None:
    rng = np.random.default_rng(0)
    views, sku = normalise(rng.normal(size=(30, 2))).astype(np.float32), rng.integers(0, 4, 30)
    queries = normalise(rng.normal(size=(8, 2))).astype(np.float32)
    fde = _quadrants()
    scores = fde.encode_queries(queries) @ fde.encode_skus(views, sku, 4).T
    for q, query in enumerate(queries):
        for s in range(4):
            own = views[sku == s]
            bits = (own > 0) != (query > 0)
            inside = own[~bits.any(axis=1)]
            expected = inside.mean(axis=0) if len(inside) else own[bits.sum(axis=1).argmin()]
            assert scores[q, s] == pytest.approx(float(query @ expected), abs=1e-6)


def test_no_plane_and_no_projection_is_the_mean() -> None:
    rng = np.random.default_rng(1)
    views, sku = rng.normal(size=(9, 4)).astype(np.float32), np.array([0, 1, 1, 2, 2, 2, 0, 1, 0])
    fde = FixedDimensionalEncoding.draw(4, planes=0, repetitions=1, seed=0)
    expected = np.stack([views[sku == s].mean(axis=0) for s in range(3)])
    np.testing.assert_allclose(fde.encode_skus(views, sku, 3), expected, atol=1e-6)
    np.testing.assert_array_equal(fde.encode_queries(views), views)


@pytest.mark.parametrize(("dim", "planes", "repetitions", "length"), [(64, 2, 1, 64), (64, 1, 4, 64), (70, 2, 2, 64)])
def test_no_longer_than_one_vector(dim: int, planes: int, repetitions: int, length: int) -> None:
    views = normalise(np.random.default_rng(2).normal(size=(5, dim))).astype(np.float32)
    fde = FixedDimensionalEncoding.draw(dim, planes, repetitions, seed=0)
    assert fde.encode_skus(views, np.array([0, 0, 1, 2, 2]), 3).shape == (3, length)
    assert fde.encode_queries(views).shape == (5, length)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"4 times 2\^3 buckets do not fit into 16 dimensions"):
        FixedDimensionalEncoding.draw(16, planes=3, repetitions=4, seed=0)


def test_the_seed_draws_it() -> None:
    views, sku = normalise(np.random.default_rng(3).normal(size=(6, 16))).astype(np.float32), np.arange(6)
    one, again, other = (FixedDimensionalEncoding.draw(16, 1, 2, s).encode_skus(views, sku, 6) for s in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)


def test_many_repetitions_without_a_cut_near_the_max_similarity() -> None:
    # Tight clusters: whoever shares the query's bucket is what the query means, so the mean there is the maximum.
    rng = np.random.default_rng(4)
    centres = normalise(rng.normal(size=(12, 8)))
    views = normalise(np.repeat(centres, 3, axis=0) + 0.01 * rng.normal(size=(36, 8))).astype(np.float32)
    sku = np.repeat(np.arange(6), 6)  # two clusters each
    queries = normalise(centres + 0.01 * rng.normal(size=(12, 8))).astype(np.float32)
    planes = rng.normal(size=(200, 5, 8)).astype(np.float32)
    fde = FixedDimensionalEncoding(planes, np.broadcast_to(np.eye(8, dtype=np.float32), (200, 8, 8)))
    scores = fde.encode_queries(queries) @ fde.encode_skus(views, sku, 6).T / 200
    exact = max_per_sku(queries @ views.T, sku, 6)
    own = np.arange(12) // 2
    np.testing.assert_allclose(scores[np.arange(12), own], exact[np.arange(12), own], atol=0.1)
    assert (scores.argmax(axis=1) == own).all()
