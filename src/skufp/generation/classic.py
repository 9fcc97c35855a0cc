"""Views by classic augmentation: the baseline that a generator must beat (NumPy, OpenCV)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skufp.data.augment import paste, relight, squared, warp
from skufp.errors import UserError, nearest
from skufp.generation.pictures import backdrop, garment
from skufp.generation.request import ViewCondition, ViewRequest

STEPS = ("crop", "flip", "perspective", "relight", "background")
MIXED = "mixed"


class ClassicViews:
    """Crop, flip, perspective, relight, background: a view condition names one of these steps, or ``mixed``.

    ``mixed`` applies each step with probability ``chance``, and at least one. ``strength`` scales crop, perspective
    and relight (0: no change); ``crop_area`` is the smallest share of the picture that a crop of strength 1 keeps.
    ``cast``, ``exposure`` and ``gamma`` are standard deviations in log units; the defaults are those of PhonePhoto.
    The background step needs the garment's mask or an even studio background; without either it changes nothing. Of a
    view condition only the name and ``clean`` are read. Raises UserError.
    """

    def __init__(
        self, size: int = 64, strength: float = 1.0, crop_area: float = 0.4, cast: float = 0.07, exposure: float = 0.12,
        gamma: float = 0.08, chance: float = 0.5,
    ) -> None:  # fmt: skip
        if strength < 0 or not 0 < crop_area <= 1:
            raise UserError(
                f"classic views of strength {strength:g} and crop_area {crop_area:g} cannot be drawn. Give"
                " views.generator.strength=1 (0 or more) and views.generator.crop_area=0.4 (above 0, at most 1)"
            )
        self.size, self.strength, self.crop_area, self.chance = size, strength, crop_area, chance
        self.cast, self.exposure, self.gamma = strength * cast, strength * exposure, strength * gamma

    def to(self, device: Any) -> "ClassicViews":
        """Do nothing: NumPy runs on the CPU."""
        return self

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        """Return one RGB [size, size, 3] uint8 picture for every request, in order."""
        return [self._draw(request) for request in requests]

    def _draw(self, request: ViewRequest) -> np.ndarray:
        rng = np.random.default_rng(request.seed)
        steps = self._steps(request.condition, rng)
        picture, mask = request.picture, np.ones(request.picture.shape[:2], np.float32)
        if "background" in steps:
            mask = garment(request)
        if "crop" in steps:
            least = max(0.1, 1 - self.strength * (1 - self.crop_area))
            picture, mask = crop(picture, mask, least, rng)
        behind = backdrop(request, self.size, rng) if "background" in steps else edge_colour(request.picture)
        if "perspective" in steps:  # at twice the size: warping alone would skip pixels of a large photo
            large = min(2 * self.size, max(picture.shape[:2]))
            picture, mask = warp(squared(picture, large), squared(mask, large), self.size, self.strength, rng)
        picture, mask = squared(picture, self.size), squared(mask, self.size)
        if "flip" in steps:
            picture, mask = picture[:, ::-1], mask[:, ::-1]
        picture = paste(picture, mask, behind)  # behind the garment, or where perspective left the photo
        if "relight" in steps:
            picture = relight(picture, self.cast, self.exposure, self.gamma, rng)
        return picture

    def _steps(self, condition: ViewCondition, rng: np.random.Generator) -> set[str]:
        name = condition.name
        if condition.toward is not None:
            raise UserError(
                f"views.actions.{name} leads toward another SKU ({condition.toward}), and classic views cannot: they"
                " only vary their source. Leave it out, or take views=dit"
            )
        if name in STEPS:
            return {name}
        if name != MIXED:
            raise UserError(f"classic views have no view condition '{name}'.{nearest(name, (*STEPS, MIXED))}")
        one = STEPS[rng.integers(len(STEPS))]
        return {step for step in STEPS if rng.random() < self.chance} or {one}


def edge_colour(picture: np.ndarray) -> np.ndarray:
    """Return the median colour of the picture's edge, [3]: a guess of the colour beyond the edge."""
    edge = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    return np.median(np.concatenate(edge), axis=0)


def crop(
    picture: np.ndarray, mask: np.ndarray, least: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crop picture and mask to a random box of ``least`` to 1 of the area, with its aspect changed by up to 4 : 3.

    Source: the random resized crop of Szegedy et al., arXiv 1409.4842, section 6.
    """
    height, width = picture.shape[:2]
    share = rng.uniform(least, 1)
    stretch = np.exp(rng.uniform(-0.5, 0.5) * min(np.log(4 / 3), -np.log(share)))  # no side grows past the photo's
    h = max(1, round(height * np.sqrt(share) * stretch))
    w = max(1, round(width * np.sqrt(share) / stretch))
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    box = slice(y, y + h), slice(x, x + w)
    return picture[box], mask[box]
