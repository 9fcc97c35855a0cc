from typing import Any

import numpy as np
import pytest

from skufp.catalogue.colour import colour_evidence, colour_shares, garment_mask
from skufp.catalogue.vocabulary import Attribute, Vocabulary

COLOURS: dict[str, Any] = {
    "black": {"rgb": [[20, 20, 20]]}, "white": {"rgb": [[240, 240, 240]]}, "red": {"rgb": [[190, 30, 40]]},
    "green": {"rgb": [[40, 130, 70]]}, "blue": {"rgb": [[40, 80, 180], [140, 184, 226]]}, "multicolour": {},
    "yellow": {"rgb": [[240, 214, 60]]},
}  # fmt: skip


@pytest.fixture
def colour() -> Attribute:
    spec = {"attributes": {"colour": {"values": COLOURS}}, "categories": {"top": {"attributes": ["colour"]}}}
    return Vocabulary.of(spec).attributes["colour"]


def garment(*rgb: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A white picture with a garment of equal stripes of these colours, and the garment's mask."""
    image, mask = np.full((90, 60, 3), 255, np.uint8), np.zeros((90, 60), np.uint8)
    columns = np.array_split(np.arange(10, 50), len(rgb))
    for own, colour_of in zip(columns, rgb, strict=True):
        image[10:80, own] = colour_of
    mask[10:80, 10:50] = 255
    return image, mask


@pytest.mark.parametrize("name", ["black", "red", "green", "blue", "yellow"])
def test_a_plain_garment_is_of_its_colour_with_and_without_a_mask(colour: Attribute, name: str):
    image, mask = garment(colour.terms[name].rgb[0])
    for given in (mask, None):
        shares = colour_shares(image, colour, given)
        assert shares.sum() == pytest.approx(1)
        assert colour.values[int(shares.argmax())] == name
        assert shares.max() > 0.9


def test_a_shade_of_a_second_example_is_still_that_colour(colour: Attribute):
    shares = colour_shares(*_swap(garment((150, 190, 228))), colour)
    assert colour.values[int(shares.argmax())] == "blue"


def _swap(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray]:
    return (pair[0],)


def test_shares_follow_the_pixels(colour: Attribute):
    red, green, mask = COLOURS["red"]["rgb"][0], COLOURS["green"]["rgb"][0], garment((0, 0, 0))[1]
    image, _ = garment(red, red, red, green)
    shares = dict(zip(colour.values, colour_shares(image, colour, mask), strict=True))
    assert shares["red"] == pytest.approx(0.75, abs=0.05)
    assert shares["green"] == pytest.approx(0.25, abs=0.05)


def test_many_colours_are_multicolour_and_two_are_not(colour: Attribute):
    def best(*names: str) -> str:
        image, mask = garment(*(tuple(COLOURS[n]["rgb"][0]) for n in names))  # type: ignore[misc]
        return colour.values[int(colour_shares(image, colour, mask).argmax())]

    assert best("red", "green", "blue", "yellow", "black") == "multicolour"
    assert best("red", "red", "green") == "red"


def test_the_mask_is_what_counts(colour: Attribute):
    image, mask = garment((190, 30, 40))
    assert colour.values[int(colour_shares(image, colour, 255 - mask).argmax())] == "white"
    assert garment_mask(image, np.zeros_like(mask)).any()  # an empty mask says nothing


def test_where_nothing_stands_out_the_middle_is_taken(colour: Attribute):
    image = np.full((40, 40, 3), (40, 130, 70), np.uint8)
    mask = garment_mask(image)
    assert mask[10:30, 10:30].all()
    assert mask.sum() == 400
    assert colour.values[int(colour_shares(image, colour).argmax())] == "green"


def test_evidence_is_the_mean_of_views_and_rules_nothing_out():
    evidence = np.exp(colour_evidence(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])))
    floored = np.array([0.75, 0.25, 0.01])
    assert np.allclose(evidence, floored / floored.sum())
