"""One size, garment and background: what all generators do to pictures alike."""

from typing import Any

import numpy as np
import pytest

from skufp.data.augment import squared
from skufp.generation.pictures import SHIFT, STUDIO, backdrop, garment, hold_garment
from skufp.generation.request import ViewCondition, ViewRequest

RED, WHITE = (200, 20, 30), (250, 250, 250)


def _request(picture: np.ndarray, seed: int = 0, keep: bool = True, clean: bool = False, **more: Any) -> ViewRequest:
    return ViewRequest(picture, ViewCondition("any", keep_garment=keep, clean=clean), "front", 1.0, seed, **more)


def _studio() -> np.ndarray:
    """A red garment before an even white background."""
    picture = np.full((60, 40, 3), WHITE, np.uint8)
    picture[15:50, 10:30] = RED
    return picture


def test_the_garment_is_the_mask_or_what_stands_before_an_even_background() -> None:
    mask = np.zeros((60, 40), np.float32)
    mask[:9] = 1
    assert garment(_request(_studio(), mask=mask)) is mask
    found = garment(_request(_studio()))
    assert (found[20:45, 14:26] > 0.99).all()
    assert (found[:8] == 0).all()
    assert (found[:, :4] == 0).all()


def test_a_backdrop_is_a_piece_of_another_photo() -> None:
    photos = tuple(np.full((30, 20, 3), level, np.uint8) for level in (40, 90))
    seen = {int(backdrop(_request(_studio(), others=photos), 8, np.random.default_rng(i)).mean()) for i in range(20)}
    assert seen == {40, 90}


@pytest.mark.parametrize(("others", "clean"), [((), False), ((np.zeros((9, 9, 3), np.uint8),), True)])
def test_without_others_or_clean_a_backdrop_is_an_even_studio(others: tuple[np.ndarray, ...], clean: bool) -> None:
    for seed in range(20):
        drawn = backdrop(_request(_studio(), others=others, clean=clean), 8, np.random.default_rng(seed))
        assert (drawn.shape, drawn.dtype) == ((8, 8, 3), np.uint8)
        assert (drawn == drawn[0, 0]).all()
        assert STUDIO[0] - 5 * SHIFT < drawn.min()
        assert np.ptp(drawn[0, 0].astype(int)) < 8 * SHIFT  # nearly grey


def test_nothing_is_put_back_unless_it_is_asked_for() -> None:
    drawn = np.zeros((20, 20, 3), np.uint8)
    assert hold_garment(_request(_studio(), keep=False), drawn) is drawn


def test_the_garment_is_put_back_before_what_was_drawn() -> None:
    mask = np.zeros((60, 40), np.float32)
    mask[15:50, 10:30] = 1
    drawn = np.full((20, 20, 3), 60, np.uint8)
    held = hold_garment(_request(_studio(), mask=mask), drawn)
    whole = squared(mask, 20)
    assert (held[whole == 1] == RED).all()
    assert (held[whole == 0] == 60).all()
    assert (drawn == 60).all()


def test_clean_puts_it_before_an_even_studio_that_the_seed_decides() -> None:
    mask = np.zeros((60, 40), np.float32)
    mask[15:50, 10:30] = 1
    drawn = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    held, again, other = (hold_garment(_request(_studio(), seed, clean=True, mask=mask), drawn) for seed in (1, 1, 2))
    whole = squared(mask, 20)
    assert (held[whole == 1] == RED).all()
    behind = held[whole == 0]
    assert (behind == behind[0]).all()
    assert np.array_equal(held, again)
    assert not np.array_equal(held, other)
