"""The judge sees every picture at the generator's size, and colours of the garment, not of the studio."""

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from skufp.generation.judge import BINS, Judge, blurred, colour_distance, colour_histogram, joined, likeness
from skufp.models.siglip import tiny_siglip

SIZE = 24
GREY, LILAC = (230, 230, 230), (215, 205, 235)
RED, BLUE = (190, 30, 40), (40, 60, 190)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(tiny_siglip(32, 8, 32, 1, 2), SIZE, batch_size=4)


def _pictures(count: int, side: int = SIZE) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (side, side)) for _ in range(count)]


def _garment(colour: tuple[int, int, int], background: tuple[int, int, int], left: int = 16) -> np.ndarray:
    picture = np.full((64, 64, 3), background, np.uint8)
    picture[10:56, left : left + 30] = colour
    return picture


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(colour_distance(colour_histogram(a)[None], colour_histogram(b)[None])[0, 0])


def test_looks_are_unit_vectors_and_histograms_whatever_the_batch(judge: Judge) -> None:
    pictures = _pictures(6)  # more than a batch
    looks = judge.look(pictures)
    assert looks.vectors.shape == looks.structure.shape == (6, 32)
    assert looks.colours.shape == (6, math.prod(BINS))
    assert looks.vectors.dtype == looks.structure.dtype == looks.colours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(looks.vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(looks.structure, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(looks.colours.sum(axis=1), 1, rtol=1e-5)
    alone = judge.look(pictures[5:])
    np.testing.assert_allclose(alone.vectors[0], looks.vectors[5], atol=1e-5)
    np.testing.assert_allclose(alone.structure[0], looks.structure[5], atol=1e-5)
    np.testing.assert_array_equal(alone.colours[0], looks.colours[5])


def test_nothing_looks_like_nothing(judge: Judge) -> None:
    looks = judge.look([])
    assert looks.vectors.shape == looks.structure.shape == (0, 32)
    assert looks.colours.shape == (0, math.prod(BINS))


def test_a_large_photo_looks_as_the_small_one(judge: Judge) -> None:
    small = _pictures(3)
    large = [cv2.resize(p, (5 * SIZE, 8 * SIZE), interpolation=cv2.INTER_NEAREST) for p in small]
    seen, same = judge.look(small), judge.look(large)
    np.testing.assert_allclose((seen.vectors * same.vectors).sum(axis=1), 1, atol=1e-4)
    assert colour_distance(seen.colours, same.colours).diagonal().max() < 0.03


def test_detail_that_the_generator_cannot_draw_is_not_seen(judge: Judge) -> None:
    """A checkerboard finer than a pixel of the generator's is even grey, for a judge of its size alone."""
    board = np.indices((8 * SIZE, 8 * SIZE)).sum(axis=0) % 2 * 200
    fine, even = np.repeat(board[..., None], 3, axis=2).astype(np.uint8), np.full((SIZE, SIZE, 3), 100, np.uint8)
    seen = judge.look([fine, even])
    assert seen.vectors[0] @ seen.vectors[1] > 0.9999
    coarse = np.kron(board[: SIZE // 4, : SIZE // 4], np.ones((32, 32), int))  # four pixels of the generator's a field
    assert judge.look([np.repeat(coarse[..., None], 3, axis=2).astype(np.uint8)]).vectors[0] @ seen.vectors[1] < 0.9999


class Pixels(torch.nn.Module):
    """An encoder whose vector is the picture itself, its mean grey taken off."""

    dim = 3 * 64 * 64

    def preprocessing(self, picture: Image.Image) -> np.ndarray:
        return np.asarray(picture, np.float32)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - 128).flatten(1)


def _stripes(width: int, down: bool = False) -> np.ndarray:
    """Return 64 x 64 pixels of black and white stripes of ``width`` about a mean grey."""
    stripes = np.indices((64, 64))[int(not down)] // width % 2 * 255
    return np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)


def test_what_a_blur_leaves_of_a_wave_is_the_gaussians_share() -> None:
    """Of a wave of p pixels a blur of sigma 2 of 64 leaves exp(-2 (pi sigma / p)^2) of the amplitude."""
    for period in (8, 16, 32):
        wave = 128 + 100 * np.sin(2 * np.pi * np.arange(64) / period)
        picture = np.repeat(np.tile(wave, (64, 1))[..., None], 3, axis=2).round().astype(np.uint8)
        inner = blurred(picture)[16:48, 16:48].astype(float) - 128
        assert inner.std() == pytest.approx(picture[16:48, 16:48].std() * np.exp(-2 * (2 * np.pi / period) ** 2), abs=1)
        large = blurred(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_CUBIC))  # the same of a larger one
        assert np.abs(cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)[8:56, 8:56].astype(int)
                      - blurred(picture)[8:56, 8:56]).max() < 4  # fmt: skip


def test_softness_is_far_as_seen_and_near_in_structure() -> None:
    """A wide stripe with a fine one on it: its blurred copy lost the fine one; another direction is far both ways."""
    source = (_stripes(2) // 4 * 3 + _stripes(16) // 4).astype(np.uint8)
    turned = np.ascontiguousarray(source.transpose(1, 0, 2))
    judge = Judge(Pixels(), 64)
    found = likeness(judge.look([blurred(source), turned]), judge.look([source, source]))
    assert 1 - found.seen[0] > 0.4
    assert 1 - found.structure[0] < 0.05
    assert 1 - found.structure[1] > 0.9
    assert found.seen[0] == pytest.approx(_cosine(blurred(source), source), abs=1e-5)
    assert found.structure[0] == pytest.approx(_cosine(blurred(blurred(source)), blurred(source)), abs=1e-5)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(float).ravel() - 128, b.astype(float).ravel() - 128
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def test_a_blurred_copy_s_vector_is_the_source_s_structure(judge: Judge) -> None:
    pictures = _pictures(3)
    np.testing.assert_allclose(
        judge.look([blurred(p) for p in pictures]).vectors, judge.look(pictures).structure, atol=1e-5
    )


def test_parts_are_joined_in_order(judge: Judge) -> None:
    pictures = _pictures(5)
    whole, parts = judge.look(pictures), joined([judge.look(pictures[:2]), judge.look(pictures[2:])])
    for name in ("vectors", "structure", "colours"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)


def test_distance_is_opencvs_for_every_pair() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((3, 7), np.float32) ** 4, rng.random((4, 7), np.float32) ** 4
    a, b = a / a.sum(axis=1, keepdims=True), b / b.sum(axis=1, keepdims=True)
    expected = [[cv2.compareHist(x, y, cv2.HISTCMP_BHATTACHARYYA) for y in b] for x in a]
    np.testing.assert_allclose(colour_distance(a, b), expected, atol=1e-6)
    many = colour_distance(np.stack([a, a[::-1]]), np.stack([b, b]))
    np.testing.assert_allclose(many, [expected, expected[::-1]], atol=1e-6)


def test_distance_runs_from_equal_to_disjoint() -> None:
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    assert _distance(black, black) == pytest.approx(0, abs=1e-3)
    assert _distance(black, white) == pytest.approx(1, abs=1e-3)
    red, blue = np.full((8, 8, 3), RED, np.uint8), np.full((8, 8, 3), BLUE, np.uint8)
    assert _distance(red, np.vstack([red, blue])) == pytest.approx(math.sqrt(1 - math.sqrt(0.5)), abs=1e-3)


def test_colours_are_the_garments_not_the_studios() -> None:
    moved = _distance(_garment(RED, GREY), _garment(RED, LILAC, left=28))
    other = _distance(_garment(RED, GREY), _garment(BLUE, GREY))
    assert moved < 0.2
    assert other > 0.8


def test_a_little_more_light_or_noise_is_a_little_distance() -> None:
    rng = np.random.default_rng(2)
    plain = _garment(BLUE, GREY)
    lit = np.clip(plain * 1.05, 0, 255).astype(np.uint8)
    noisy = np.clip(plain + rng.normal(0, 4, plain.shape), 0, 255).astype(np.uint8)
    assert 0 < _distance(plain, lit) < 0.3
    assert 0 < _distance(plain, noisy) < 0.15
