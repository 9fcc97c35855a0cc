"""Drafts by hand: boxes of known colours go where the other garment's box is, and nothing else changes."""

import cv2
import numpy as np
import pytest

from skufp.data.augment import foreground
from skufp.data.drafts import draft, garment_mask

SIDE = 24
RED, BLUE, GREEN, WHITE, GREY = (1.0, -0.8, -0.9), (-0.9, -0.7, 0.9), (-0.5, 0.6, -0.6), (0.95, 0.95, 0.95), (0.1,) * 3
Box = tuple[slice, slice]
WIDE, TALL = (slice(4, 12), slice(2, 22)), (slice(3, 21), slice(8, 16))
Colour = tuple[float, ...]


def _mask(box: Box) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[box] = 1
    return mask


def _photo(garment: Colour, box: Box, behind: Colour) -> np.ndarray:
    """A rectangle of one colour before another, [3, S, S]."""
    photo = np.empty((3, SIDE, SIDE), np.float32)
    photo[:] = np.array(behind, np.float32)[:, None, None]
    photo[:, *box] = np.array(garment, np.float32)[:, None, None]
    return photo


def _colours(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The different colours of a picture [3, S, S] where a mask is not 0, [n, 3]."""
    return np.unique(picture[:, where > 0].T.round(5), axis=0)


def test_the_garment_fills_the_other_silhouette_and_the_surroundings_stay() -> None:
    picture, layout = _photo(RED, WIDE, GREY), _photo(BLUE, TALL, WHITE)
    before = picture.copy(), layout.copy()
    drafted = draft(picture, _mask(WIDE), layout, _mask(TALL))
    assert (drafted.shape, drafted.dtype) == ((3, SIDE, SIDE), np.float32)
    np.testing.assert_allclose(drafted, _photo(RED, TALL, WHITE), atol=1e-6)
    outside = _mask(TALL) == 0
    assert np.array_equal(drafted[:, outside], layout[:, outside])
    assert np.array_equal(picture, before[0])
    assert np.array_equal(layout, before[1])


def test_a_view_in_its_own_place_is_nearly_itself() -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((5, 5, 3), np.float32) * 2 - 1, (SIDE, SIDE)).transpose(2, 0, 1)
    mask = cv2.ellipse(np.zeros((SIDE, SIDE), np.float32), (12, 12), (7, 9), 0, 0, 360, 1.0, -1)
    drafted, inside = draft(smooth, mask, smooth, mask), cv2.erode(mask, np.ones((3, 3))) > 0
    np.testing.assert_allclose(drafted[:, inside], smooth[:, inside], atol=1e-6)
    assert np.array_equal(drafted[:, mask == 0], smooth[:, mask == 0])
    edge = np.abs(drafted - smooth)[:, (mask > 0) & ~inside]  # takes its neighbour's colour
    assert 0 < edge.mean() < 0.15


def test_a_layout_without_garment_stays_as_it_is() -> None:
    picture, layout = _photo(RED, WIDE, GREY), _photo(BLUE, TALL, WHITE)
    for level in (0.0, 0.5):
        assert np.array_equal(draft(picture, _mask(WIDE), layout, np.full((SIDE, SIDE), level, np.float32)), layout)


def test_of_a_picture_without_garment_all_is_used() -> None:
    picture = _photo(RED, (slice(0, SIDE), slice(0, SIDE // 2)), BLUE)
    layout = _photo(GREEN, (slice(4, 20), slice(4, 20)), WHITE)
    for level in (0.0, 0.5):
        mask = np.full((SIDE, SIDE), level, np.float32)
        drafted = draft(picture, mask, layout, _mask((slice(4, 20), slice(4, 20))))
        np.testing.assert_allclose(drafted[:, 4:20, 4:11], _photo(RED, WIDE, RED)[:, 4:20, 4:11], atol=1e-6)
        np.testing.assert_allclose(drafted[:, 4:20, 13:20], _photo(BLUE, WIDE, BLUE)[:, 4:20, 13:20], atol=1e-6)
        assert np.array_equal(drafted[:, :4], layout[:, :4])


@pytest.mark.parametrize("soft", [False, True])
def test_no_background_colour_leaks_in_where_the_other_silhouette_reaches_farther(soft: bool) -> None:
    """A red disc fills the corners of the other's box, and its half-covered rim, mixed with green, is not used."""
    mask = cv2.circle(np.zeros((SIDE, SIDE), np.float32), (12, 12), 8, 1.0, -1)
    if soft:
        mask = cv2.GaussianBlur(mask, (0, 0), 0.8)
    picture = mask * np.array(RED, np.float32)[:, None, None] + (1 - mask) * np.array(GREEN, np.float32)[:, None, None]
    drafted = draft(picture.astype(np.float32), mask, _photo(BLUE, TALL, WHITE), _mask(TALL))
    filled = drafted[:, TALL[0], TALL[1]].reshape(3, -1).T
    np.testing.assert_allclose(filled, np.tile(RED, (len(filled), 1)), atol=5e-3 if soft else 1e-5)


def test_colours_beyond_the_garment_s_edge_are_those_of_its_nearest_pixel() -> None:
    """A garment of two bars, red on top and blue below, and a third of their box between them that is neither."""
    mask, picture = np.zeros((SIDE, SIDE), np.float32), _photo(GREEN, WIDE, GREEN)
    for colour, rows in ((RED, slice(0, 8)), (BLUE, slice(16, 24))):
        mask[rows] = 1
        picture[:, rows] = np.array(colour, np.float32)[:, None, None]
    everything = np.ones((SIDE, SIDE), np.float32)
    drafted = draft(picture, mask, _photo(WHITE, WIDE, WHITE), everything)
    for row in range(SIDE):
        expected = RED if row < SIDE // 2 else BLUE
        np.testing.assert_allclose(_colours(drafted[:, row : row + 1], everything[:1]), [expected], atol=1e-5)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_half_covered_pixels_are_half_garment_half_surroundings(share: float) -> None:
    """Within the box and at its edge, where half a pixel or less is no part of the box."""
    mask = _mask(TALL)
    mask[2, TALL[1]] = mask[21, TALL[1]] = mask[TALL[0], 7] = mask[TALL[0], 16] = mask[10, 10] = share
    drafted = draft(_photo(RED, WIDE, GREY), _mask(WIDE), _photo(BLUE, TALL, WHITE), mask)
    for y in range(SIDE):
        for x in range(SIDE):
            own = BLUE if _mask(TALL)[y, x] else WHITE
            expected = mask[y, x] * np.array(RED) + (1 - mask[y, x]) * np.array(own)
            np.testing.assert_allclose(drafted[:, y, x], expected, atol=1e-5)


@pytest.mark.parametrize(("left", "right"), [(2, 22), (4, 12), (9, 23)])
def test_a_stretched_garment_has_its_border_where_the_box_says(left: int, right: int) -> None:
    """Red on the left three quarters of the source's box, blue on the right: so in the other's, wide or narrow."""
    own, box = (slice(2, 22), slice(4, 20)), (slice(5, 19), slice(left, right))
    picture = _photo(RED, own, GREY)
    picture[:, 2:22, 16:20] = np.array(BLUE, np.float32)[:, None, None]
    drafted = draft(picture, _mask(own), _photo(GREEN, box, WHITE), _mask(box))
    border = left + 0.75 * (right - left)
    for x in range(left, right):
        colours = _colours(drafted[:, :, x : x + 1], _mask(box)[:, x : x + 1])
        if abs(x + 0.5 - border) > 1:  # linear interpolation mixes at most the pixels beside it
            np.testing.assert_allclose(colours, [RED if x < border else BLUE], atol=1e-5)


def test_a_garment_that_is_all_edge_keeps_it() -> None:
    thin = (slice(4, 20), slice(11, 13))
    drafted = draft(_photo(RED, thin, GREEN), _mask(thin), _photo(BLUE, WIDE, WHITE), _mask(WIDE))
    np.testing.assert_allclose(drafted, _photo(RED, WIDE, WHITE), atol=1e-6)


def test_a_garment_without_mask_is_what_stands_before_an_even_background() -> None:
    picture = np.full((60, 40, 3), 240, np.uint8)
    picture[15:50, 10:30] = (200, 20, 30)
    mask = np.zeros((60, 40), np.float32)
    assert garment_mask(picture, mask) is mask
    found = garment_mask(picture, None)
    assert np.array_equal(found, foreground(picture))
    assert (found[20:45, 14:26] > 0.99).all()
    assert (found[:8] == 0).all()
