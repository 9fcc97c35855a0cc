"""Answers against naive loops; cross-fitting of the adapter by planting what must not enter."""

import numpy as np
import pytest

from skufp.models.adapter import Adapter
from skufp.retrieval.answers import QueriedGallery, adapt, answer, choose_ridge, fit_across, fit_all

DIM = 8


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def world(seed: int = 0, folds: int = 3, skus: int = 12, others: int = 0) -> tuple[list[QueriedGallery], np.ndarray]:
    """``folds`` galleries of the same SKUs, 10 queries each, rows dealt at random; ``others`` rows are in none."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(10 * folds + others)[: 10 * folds].reshape(folds, 10)
    asked = [QueriedGallery(unit(rng.normal(size=(skus, DIM))), own, rng.integers(0, skus, 10)) for own in rows]
    return asked, unit(rng.normal(size=(10 * folds + others, DIM)))


@pytest.mark.parametrize("block", [256, 3])
def test_answers_against_a_naive_loop(block: int) -> None:
    asked, vectors = world()
    asked[1].vectors[4] = asked[1].vectors[asked[1].own[0]]  # a tie counts against us
    found = answer(asked, vectors, block)
    for gallery in asked:
        for row, own in zip(gallery.rows, gallery.own, strict=True):
            scores = [float(vectors[row] @ vector) for vector in gallery.vectors]
            wrong = [score for sku, score in enumerate(scores) if sku != own]
            assert found.rank[row] == 1 + sum(score >= scores[own] - 1e-6 for score in wrong)
            assert found.score[row] == pytest.approx(scores[own], abs=1e-6)
            assert found.margin[row] == pytest.approx(scores[own] - max(wrong), abs=1e-6)


def test_a_tie_is_lost_and_a_lone_sku_has_nobody_to_lose_to() -> None:
    vectors = unit(np.ones((2, DIM)))
    twice = QueriedGallery(np.repeat(vectors[:1], 3, axis=0), np.array([0]), np.array([1]))
    alone = QueriedGallery(vectors[:1], np.array([1]), np.array([0]))
    found = answer([twice, alone], vectors)
    assert found.rank.tolist() == [3, 1]
    assert found.margin[1] == np.inf


def test_every_query_is_moved_by_its_own_gallerys_adapter() -> None:
    asked, vectors = world(others=4)
    rng = np.random.default_rng(9)
    adapters = [Adapter(rng.normal(size=(DIM, DIM)).astype(np.float32), np.zeros(DIM, np.float32)) for _ in asked]
    moved = adapt(asked, adapters, vectors)
    for gallery, adapter in zip(asked, adapters, strict=True):
        for row in gallery.rows:
            np.testing.assert_allclose(moved[row], adapter(vectors[row]), atol=1e-6)
    nowhere = np.setdiff1d(np.arange(len(vectors)), np.concatenate([a.rows for a in asked]))
    np.testing.assert_array_equal(moved[nowhere], vectors[nowhere])


def test_a_folds_queries_never_enter_its_own_adapter_and_enter_all_others() -> None:
    asked, vectors = world()
    before = fit_across(asked, vectors, 0.5)
    planted = vectors.copy()
    planted[asked[1].rows[0]] *= -1  # one query of fold 1
    after = fit_across(asked, planted, 0.5)
    np.testing.assert_array_equal(after[1].weight, before[1].weight)
    np.testing.assert_array_equal(after[1].bias, before[1].bias)
    for fold in (0, 2):
        assert np.abs(after[fold].weight - before[fold].weight).max() > 1e-3


def test_an_adapter_is_fitted_to_the_gallery_made_without_its_fold() -> None:
    asked, vectors = world()
    found = fit_across(asked, vectors, 0.5)
    rows = np.concatenate([asked[0].rows, asked[2].rows])
    own = np.concatenate([asked[0].own, asked[2].own])
    expected = Adapter.fit(vectors[rows], asked[1].vectors[own], 0.5)
    np.testing.assert_allclose(found[1].weight, expected.weight, atol=1e-6)
    final = fit_all(asked, asked[2], vectors, 0.5)
    rows, own = (np.concatenate([getattr(a, name) for a in asked]) for name in ("rows", "own"))
    np.testing.assert_allclose(final.weight, Adapter.fit(vectors[rows], asked[2].vectors[own], 0.5).weight, atol=1e-6)


def test_what_only_a_query_itself_could_teach_does_not_help_it() -> None:
    """Queries lie where chance put them: in sample a weak ridge fits them all, across folds it cannot."""
    asked, vectors = world(seed=1, folds=4, skus=40)
    one = QueriedGallery(
        asked[0].vectors, np.concatenate([a.rows for a in asked]), np.concatenate([a.own for a in asked])
    )  # all queries in one gallery
    folds = [QueriedGallery(one.vectors, a.rows, a.own) for a in asked]
    in_sample = 1 / answer([one], fit_all([one], one, vectors, 1e-6)(vectors)).rank
    unchanged = 1 / answer([one], vectors).rank
    found = choose_ridge(folds, vectors, [1e-6])[1]
    assert in_sample.mean() > unchanged.mean() + 0.05
    assert found[None] == pytest.approx(unchanged.mean())
    assert found[1e-6] < in_sample.mean() - 0.05


def test_a_planted_shift_is_found_and_noise_is_left_alone() -> None:
    rng = np.random.default_rng(2)
    gallery = unit(rng.normal(size=(60, DIM)))
    own = rng.integers(0, 60, 120)
    shift = unit(rng.normal(size=DIM))
    rows = np.arange(120).reshape(4, 30)
    shifted = unit(gallery[own] + 1.5 * shift + 0.1 * rng.normal(size=(120, DIM)))
    folds = [QueriedGallery(gallery, r, own[r]) for r in rows]
    ridge, found = choose_ridge(folds, shifted, [0.1, 1, 10, 100])
    assert ridge is not None
    assert found[ridge] > found[None] + 0.1
    right = gallery[own]  # already at their SKUs: nothing to gain
    assert choose_ridge(folds, right, [0.1, 1])[0] is None


def test_of_equal_ridges_the_strongest_wins() -> None:
    gallery = np.eye(DIM, dtype=np.float32)
    folds = [QueriedGallery(gallery, np.array([i]), np.array([i])) for i in range(3)]
    ridge, found = choose_ridge(folds, gallery[:3], [1, 100])
    assert ridge is None
    assert list(found) == [None, 100, 1]
    assert set(found.values()) == {1.0}
