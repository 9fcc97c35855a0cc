"""The FAISS index against brute force."""

from pathlib import Path

import numpy as np
import pytest

from skufp.retrieval.index import SkuIndex
from skufp.retrieval.representations import normalise


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return normalise(np.random.default_rng(0).normal(size=(200, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return normalise(np.random.default_rng(1).normal(size=(9, 16))).astype(np.float32)


@pytest.mark.parametrize("kind", ["IDMap,Flat", "IDMap,HNSW32"])
def test_equals_brute_force(vectors: np.ndarray, queries: np.ndarray, kind: str) -> None:
    scores, ids = SkuIndex.build(vectors, kind).search(queries, 10)
    exact = queries @ vectors.T
    assert np.array_equal(ids, np.argsort(-exact, axis=1)[:, :10])
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :10], atol=1e-5)


def test_a_kind_that_must_be_trained_is(vectors: np.ndarray) -> None:
    index = SkuIndex.build(vectors, "IVF4,Flat")
    _, ids = index.search(vectors[:20], 1)
    assert ids[:, 0].tolist() == list(range(20))


def test_k_is_cut_to_the_size(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = SkuIndex.build(vectors[:3])
    scores, ids = index.search(queries, 10)
    assert scores.shape == ids.shape == (9, 3)
    assert np.array_equal(np.sort(ids, axis=1), np.tile(np.arange(3), (9, 1)))
    assert len(index) == 3


def test_save_and_load(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    index = SkuIndex.build(vectors)
    index.save(tmp_path)
    loaded = SkuIndex.load(tmp_path)
    assert len(loaded) == len(index) == 200
    for ours, theirs in zip(index.search(queries, 5), loaded.search(queries, 5), strict=True):
        assert np.array_equal(ours, theirs)


def test_size_is_that_of_the_file(vectors: np.ndarray, tmp_path: Path) -> None:
    index = SkuIndex.build(vectors)
    index.save(tmp_path)
    assert index.nbytes == (tmp_path / "index.faiss").stat().st_size > vectors.nbytes


def test_any_memory_layout_and_dtype(vectors: np.ndarray, queries: np.ndarray) -> None:
    expected = SkuIndex.build(vectors).search(queries, 4)[1]
    transposed = np.asfortranarray(vectors.astype(np.float64))
    assert np.array_equal(SkuIndex.build(transposed).search(queries.astype(np.float64), 4)[1], expected)
