"""The FAISS index in all its forms against brute force."""

import re
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

from skufp.errors import UserError
from skufp.retrieval.compression import KINDS
from skufp.retrieval.faiss_kinds import advised_vectors, check_kind
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.metrics import ranks_of_target
from skufp.retrieval.ranks import ranks
from skufp.retrieval.representations import multi_vector_scores, normalise


def _unit(seed: int, rows: int, dim: int = 16) -> np.ndarray:
    return normalise(np.random.default_rng(seed).normal(size=(rows, dim))).astype(np.float32)


def _clustered(seed: int, rows: int, dim: int) -> np.ndarray:
    """Unit vectors around 20 centres, with an uneven spread over the dimensions as encoders have it."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, dim))
    spread = np.linspace(1.5, 0.5, dim)
    points = (centres[rng.integers(0, 20, rows)] + 0.7 * rng.normal(size=(rows, dim))) * spread
    return normalise(points).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return _unit(0, 200)


@pytest.fixture
def threads() -> Iterator[None]:
    """Put faiss's number of threads back."""
    before = faiss.omp_get_max_threads()
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return _unit(1, 9)


def _top(exact: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return -np.sort(-exact, axis=1)[:, :k], np.argsort(-exact, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("kind", ["Flat", "IDMap,Flat", "HNSW32"])
def test_equals_brute_force(vectors: np.ndarray, queries: np.ndarray, kind: str) -> None:
    scores, ids = SkuIndex.build(vectors, kind).search(queries, 10)
    expected_scores, expected_ids = _top(queries @ vectors.T, 10)
    assert np.array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


def test_a_kind_that_must_be_trained_is(vectors: np.ndarray) -> None:
    index = SkuIndex.build(vectors, "IVF4,Flat")
    _, ids = index.search(vectors[:20], 1)
    assert ids[:, 0].tolist() == list(range(20))


def test_k_is_cut_to_the_number_of_skus(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = SkuIndex.build(vectors[:3])
    scores, ids = index.search(queries, 10)
    assert scores.shape == ids.shape == (9, 3)
    assert np.array_equal(np.sort(ids, axis=1), np.tile(np.arange(3), (9, 1)))
    assert len(index) == 3
    assert index.vectors_per_sku == 1


def test_any_memory_layout_and_dtype(vectors: np.ndarray, queries: np.ndarray) -> None:
    expected = SkuIndex.build(vectors).search(queries, 4)[1]
    transposed = np.asfortranarray(vectors.astype(np.float64))
    assert np.array_equal(SkuIndex.build(transposed).search(queries.astype(np.float64), 4)[1], expected)


@pytest.mark.parametrize("sku_of_vector", [None, np.arange(200) % 70])
def test_a_query_without_a_direction_finds_nothing(vectors: np.ndarray, sku_of_vector: np.ndarray | None) -> None:
    index = SkuIndex.build(vectors, sku_of_vector=sku_of_vector)
    scores, ids = index.search(np.full((2, 16), np.nan), 3)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
    assert ranks(index, np.full((2, 16), np.nan), np.array([0, 1])).tolist() == [len(index)] * 2


@pytest.mark.parametrize("kind", ["Flat", "SQ8", "HNSW8"])
def test_a_sku_whose_vector_is_no_number_has_the_worst_rank(
    vectors: np.ndarray, queries: np.ndarray, kind: str
) -> None:
    index = SkuIndex.build(vectors, kind)
    broken = queries[:3].copy()
    broken[1] = np.nan
    found = ranks(index, broken, np.array([4, 5, 6]))
    assert found[1] == len(index)
    alone = ranks(index, queries[:3], np.array([4, 5, 6]))
    assert found[[0, 2]].tolist() == alone[[0, 2]].tolist()


class Unsound(SkuIndex):
    """An index that answers NaN, as an approximate form may."""

    def search(self, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        scores, ids = super().search(queries, k, among)
        scores[ids == 4] = np.nan
        return scores, ids


def test_an_index_that_answers_nan_for_the_own_sku_ranks_it_last(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = Unsound(SkuIndex.build(vectors).index)
    assert ranks(index, queries[:2], np.array([4, 4])).tolist() == [len(index)] * 2


# --- several vectors per SKU


@pytest.mark.parametrize("k", [1, 7, 60])
def test_views_equal_brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> None:
    sku = np.random.default_rng(2).permutation(np.concatenate([np.arange(60), np.arange(140) % 23]))
    index = SkuIndex.build(vectors, sku_of_vector=sku)
    scores, ids = index.search(queries, k)
    expected_scores, expected_ids = _top(multi_vector_scores(queries, vectors, sku, 60), k)
    assert len(index) == 60
    assert index.vectors_per_sku == pytest.approx(200 / 60)
    assert np.array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


def test_fifty_views_of_one_sku_do_not_crowd_out_the_others() -> None:
    """SKU 0's 50 views all lie nearer to the query than the only view of SKUs 1 to 4."""
    degrees = np.concatenate([np.arange(50) / 10, [20, 30, 40, 50]])
    views = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    sku = np.array([0] * 50 + [1, 2, 3, 4])
    other = np.array([[0.0, 1.0]])  # from here the order is the other way round
    scores, ids = SkuIndex.build(views, sku_of_vector=sku).search(np.concatenate([[[1.0, 0.0]], other]), 4)
    assert ids.tolist() == [[0, 1, 2, 3], [4, 3, 2, 1]]
    np.testing.assert_allclose(scores[0], np.cos(np.radians([0, 20, 30, 40])), atol=1e-6)
    np.testing.assert_allclose(scores[1], np.sin(np.radians([50, 40, 30, 20])), atol=1e-6)


def test_tied_views_of_one_sku_are_one_answer() -> None:
    views = np.tile(np.array([[1.0, 0.0]]), (6, 1))
    scores, ids = SkuIndex.build(views, sku_of_vector=np.array([2, 1, 0, 2, 1, 0])).search(views[:1], 3)
    assert sorted(ids[0].tolist()) == [0, 1, 2]
    np.testing.assert_allclose(scores, 1)


@pytest.mark.parametrize("kind", ["SQ8", "HR,RaBitQ", "HNSW32"])
def test_compressed_views_answer_each_sku_once(vectors: np.ndarray, queries: np.ndarray, kind: str) -> None:
    scores, ids = SkuIndex.build(vectors, kind, sku_of_vector=np.arange(200) // 5).search(queries, 40)
    assert np.array_equal(np.sort(ids, axis=1), np.tile(np.arange(40), (9, 1)))
    assert (np.diff(scores, axis=1) <= 0).all()


# --- fewer dimensions


@pytest.mark.parametrize("sku_of_vector", [None, np.arange(200) // 4])
def test_dims_truncate_and_normalise_vectors_and_queries(
    vectors: np.ndarray, queries: np.ndarray, sku_of_vector: np.ndarray | None
) -> None:
    index = SkuIndex.build(vectors, dims=5, sku_of_vector=sku_of_vector)
    scores, ids = index.search(queries, 10)
    by_hand = normalise(queries[:, :5]) @ normalise(vectors[:, :5]).T
    if sku_of_vector is not None:
        by_hand = by_hand.reshape(9, 50, 4).max(axis=2)
    expected_scores, expected_ids = _top(by_hand, 10)
    assert np.array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    assert index.code_bytes_per_vector == 5 * 4


def test_all_dims_are_no_truncation(vectors: np.ndarray) -> None:
    assert SkuIndex.build(vectors, dims=16).nbytes == SkuIndex.build(vectors).nbytes


# --- the forms


@pytest.mark.parametrize(
    ("name", "dims", "bytes_by_hand", "floor"),
    [
        ("flat", None, 4 * 64, 1),
        ("int8", None, 64, 0.97),
        ("rabitq", None, 64 // 8 + 8, 0.42),  # a bit a dimension, and two factors of 4 bytes
        ("pq", None, 64 // 8, 0.4),
        ("hnsw", None, 64, 0.95),
        ("int8", 48, 48, 0.8),
        ("rabitq", 48, 64 // 8 + 8, 0.42),  # the rotation goes to the next power of two
        ("pq", 48, 48 // 8, 0.4),
    ],
)
def test_every_form_keeps_its_promise(
    tmp_path: Path, threads: None, name: str, dims: int | None, bytes_by_hand: int, floor: float
) -> None:
    """Size by hand, recall@10 against exact search above a floor, the same file from the same vectors."""
    gallery, probes = _clustered(0, 1500, 64), _clustered(1, 60, 64)
    faiss.omp_set_num_threads(2)  # restored by the fixture
    index = SkuIndex.build(gallery, KINDS[name], dims)
    assert faiss.omp_get_max_threads() == 2
    assert index.code_bytes_per_vector == bytes_by_hand
    scores, ids = index.search(probes, 10)
    exact = _top(probes @ gallery.T, 10)[1]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids.tolist(), exact.tolist(), strict=True)])
    assert recall >= floor, recall
    faiss.omp_set_num_threads(1)
    again = SkuIndex.build(gallery, KINDS[name], dims)
    for folder, either in ((tmp_path / "a", index), (tmp_path / "b", again)):
        folder.mkdir()
        either.save(folder)
    written = (tmp_path / "a" / "index.faiss").read_bytes()
    assert written == (tmp_path / "b" / "index.faiss").read_bytes()
    assert index.nbytes == len(written) > len(gallery) * bytes_by_hand
    loaded = SkuIndex.load(tmp_path / "a")
    assert len(loaded) == 1500
    assert loaded.code_bytes_per_vector == bytes_by_hand
    for ours, theirs in zip((scores, ids), loaded.search(probes, 10), strict=True):
        assert np.array_equal(ours, theirs)


def test_views_and_dims_survive_the_file(vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    index = SkuIndex.build(vectors, "SQ8", 9, np.arange(200) // 2)
    index.save(tmp_path)
    loaded = SkuIndex.load(tmp_path)
    assert len(loaded) == 100
    assert loaded.vectors_per_sku == 2
    for ours, theirs in zip(index.search(queries, 30), loaded.search(queries, 30), strict=True):
        assert np.array_equal(ours, theirs)


# --- ranks


@pytest.mark.parametrize("skus", [100, 1500])
def test_ranks_equal_brute_force_with_ties(skus: int) -> None:
    """Coordinates are small whole numbers, so scores are exact and many are equal; 1500 needs a second look."""
    rng = np.random.default_rng(3)
    gallery, probes = rng.integers(-2, 3, (skus, 6)), rng.integers(-2, 3, (50, 6))
    target = rng.integers(0, skus, 50)
    found = ranks(SkuIndex.build(gallery), probes, target)
    assert np.array_equal(found, ranks_of_target(probes @ gallery.T, target))
    if skus > 1000:
        assert found.max() > 128


def test_ranks_over_views_with_ties() -> None:
    rng = np.random.default_rng(4)
    views, probes = rng.integers(-2, 3, (900, 6)).astype(float), rng.integers(-2, 3, (40, 6)).astype(float)
    sku, target = rng.permutation(np.arange(900) % 300), rng.integers(0, 300, 40)
    found = ranks(SkuIndex.build(views, sku_of_vector=sku), probes, target)
    assert np.array_equal(found, ranks_of_target(multi_vector_scores(probes, views, sku, 300), target))


def test_a_sku_that_is_not_found_has_the_worst_rank(vectors: np.ndarray) -> None:
    found = ranks(SkuIndex.build(vectors), vectors[:3], np.array([0, 1, 777]))
    assert found.tolist() == [1, 1, 200]
    one_list = SkuIndex.build(vectors, "IVF40,Flat")  # searches one of 40 lists: most SKUs are in others
    far = (vectors[:5] @ vectors.T).argmin(axis=1)
    assert ranks(one_list, vectors[:5], far).tolist() == [200] * 5


# --- mistakes


def test_too_few_vectors_to_train_on(vectors: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"256 centroids.* only 200 vectors.*index=flat"):
        SkuIndex.build(vectors, KINDS["pq"])
    with pytest.raises(UserError, match=r"300 centroids.* only 200 vectors"):
        SkuIndex.build(vectors, "IVF300,Flat")


def test_training_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    SkuIndex.build(_unit(5, 300), KINDS["pq"])
    SkuIndex.build(_unit(5, 300), "IVF16,PQ2x4", dims=8)
    assert capfd.readouterr() == ("", "")


def test_advised_vectors() -> None:
    assert advised_vectors(KINDS["pq"], 16) == 256 * 39
    assert advised_vectors("IVF500,PQ2x4", 16) == 500 * 39
    assert advised_vectors("Flat", 16) == advised_vectors("HR,RaBitQ", 16) == advised_vectors("HNSW32,SQ8", 16) == 0


@pytest.mark.parametrize("dims", [0, -1, 17])
def test_dims_out_of_range(vectors: np.ndarray, dims: int) -> None:
    with pytest.raises(UserError, match=rf"index.dims={dims}: the vectors have 16 dimensions"):
        SkuIndex.build(vectors, dims=dims)


def test_dimensions_that_do_not_divide(vectors: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"10 dimensions do not divide by 8.*index=int8"):
        SkuIndex.build(vectors, KINDS["pq"], 10)
    with pytest.raises(UserError, match=r"PQ5 with 16 dimensions.*multiple of the number of subquantizers"):
        SkuIndex.build(vectors, "PQ5")


def test_kinds_are_checked_before_there_are_vectors() -> None:
    for kind in ("Nonsense", "SQ9", "PQ{dims/8}", ""):
        with pytest.raises(UserError, match=rf"^index.kind={re.escape(kind)}: .*could not parse.*index=flat"):
            check_kind(kind)
    check_kind("PQ7")  # fits some encoders
    with pytest.raises(UserError, match="PQ7 with 16 dimensions"):
        check_kind("PQ7", 16)
    with pytest.raises(UserError, match="100 dimensions do not divide by 8"):
        check_kind("PQ{dim/8}", 100)
    for kind in KINDS.values():
        check_kind(kind)


def test_no_vectors_or_other_numbers_of_ids_are_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="0 vectors"):
        SkuIndex.build(vectors[:0])
    with pytest.raises(ValueError, match="200 vectors but 199 SKU numbers"):
        SkuIndex.build(vectors, sku_of_vector=np.arange(199))
