"""Fusion by hand, and the choice of how much words count."""

import numpy as np
import pytest

from skufp.retrieval.words.fusion import (
    DEFAULT_WEIGHT,
    HYBRID,
    VECTOR,
    WORDS,
    choose_weight,
    fuse,
    nearest_only,
    scores_of,
    stretched,
)
from skufp.retrieval.words.index import WordIndex, WordScores

COSINES = np.array([0.1, 0.3, 0.2, -0.1])


def test_scores_are_fused_as_by_hand() -> None:
    words = np.array([1.0, 0.0, 0.5, 0.0], np.float32)
    # stretched: (c + 0.1) / 0.4 = 0.5, 1, 0.75, 0
    expected = [0.7 * 1 + 0.3 * 0.5, 0.3 * 1, 0.7 * 0.5 + 0.3 * 0.75, 0.0]
    np.testing.assert_allclose(fuse(COSINES, words, 0.7), expected, atol=1e-9)


def test_skus_that_vectors_do_not_speak_for_count_nothing_by_them() -> None:
    assert nearest_only(COSINES, 2).tolist() == [-np.inf, 0.3, 0.2, -np.inf]
    assert nearest_only(COSINES, 4).tolist() == COSINES.tolist()
    np.testing.assert_allclose(stretched(nearest_only(COSINES, 3)), [0, 1, 0.5, 0], atol=1e-9)


def test_equal_and_missing_cosines_stretch_to_ones_and_zeros() -> None:
    assert stretched(np.array([0.3, 0.3, -np.inf])).tolist() == [1, 1, 0]
    assert stretched(np.full(3, -np.inf)).tolist() == [0, 0, 0]
    assert stretched(np.zeros(0)).tolist() == []


def test_modes_take_their_own_scores() -> None:
    words = WordScores(np.array([0.0, 0.0, 1.0, 0.0], np.float32), 1.0)
    assert scores_of(VECTOR, COSINES, words, 0.5) is COSINES
    assert scores_of(WORDS, COSINES, words, 0.5) is words.scores
    np.testing.assert_allclose(scores_of(HYBRID, COSINES, words, 0.5), fuse(COSINES, words.scores, 0.5))
    assert scores_of(HYBRID, COSINES, None, 0.5) is COSINES
    assert scores_of(WORDS, COSINES, None, 0.5).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("right", ["words", "vectors", "both"])
def test_the_weight_follows_what_is_right_on_dev(right: str) -> None:
    """Words and vectors point at two SKUs: fused, the right one is first where its side counts for more than half."""
    colours, target = ["red", "blue", "green", "black"], np.arange(4)
    index = WordIndex.build([[(colour, 1)] for colour in colours])
    cosines = np.eye(4)[(target + (right == "words")) % 4]
    texts = [colours[(i + (right == "vectors")) % 4] for i in target]
    chosen = choose_weight(index, cosines, texts, target)
    nearest = {"words": DEFAULT_WEIGHT, "vectors": 0.4, "both": DEFAULT_WEIGHT}  # the nearest to it that is right
    assert chosen == nearest[right]


def test_without_queries_the_weight_is_the_default() -> None:
    index = WordIndex.build([[("red", 1)]])
    assert choose_weight(index, np.zeros((0, 1)), [], np.zeros(0, np.int64)) == DEFAULT_WEIGHT
