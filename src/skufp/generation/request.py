"""The view generator interface: view conditions, requests and the ViewGenerator protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

AS_SOURCE = "source"
TOWARD = ("sibling", "nearest")


@dataclass(frozen=True)
class ViewCondition:
    """The condition of a generated view: an entry of ``actions`` in conf/views/*.yaml.

    ``like`` is the kind of view to draw, one of the augmenter's kinds, or ``source``: the source view's kind.
    ``noise`` is the start of the path from noise to picture: 1 is noise alone, 0 the source itself (SDEdit).
    ``keep_garment`` keeps the garment's pixels, by its mask, and only the background changes; ``clean`` makes that
    background even. ``toward`` (sibling or nearest) leads toward another SKU: the result is a counterfactual, a hard
    negative and never a view. ``viewpoint`` and ``zoom_in`` are the codes in the new view's record (DeepFashion2's);
    None: those of the source.
    """

    name: str
    like: str = AS_SOURCE
    noise: float = 1.0
    keep_garment: bool = False
    clean: bool = False
    toward: str | None = None
    viewpoint: int | None = None
    zoom_in: int | None = None


@dataclass(frozen=True)
class Photo:
    """A real view: RGB ``picture`` [H, W, 3] uint8, and ``mask`` [H, W] float32, 1 on its garment, None if unknown."""

    picture: np.ndarray
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class ViewRequest:
    """One view to draw.

    ``picture`` is the source view, RGB [H, W, 3] uint8; ``mask`` [H, W] float32 is 1 on its garment, None if unknown.
    ``toward`` is a view of the other SKU, for a counterfactual. ``layout`` is another SKU's view of the wanted kind,
    which lends its silhouette and surroundings; None if there is none. ``others`` are photos that may serve as
    background; ``category`` is the garment's category, in words. ``noise`` replaces the condition's noise, since a
    second try adapts it. ``like`` is the kind of view, with ``source`` resolved. Equal requests give equal pictures,
    whatever else is in the batch.
    """

    picture: np.ndarray
    condition: ViewCondition
    like: str
    noise: float
    seed: int
    mask: np.ndarray | None = None
    toward: Photo | None = None
    layout: Photo | None = None
    others: tuple[np.ndarray, ...] = ()
    category: str = ""


class ViewGenerator(Protocol):
    """Draws views."""

    size: int  # side of the square pictures that it draws, in pixels

    def to(self, device: Any) -> "ViewGenerator":
        """Move to a torch device, if the generator uses one; return itself."""
        ...

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        """Return one RGB [size, size, 3] uint8 picture for every request, in order."""
        ...
