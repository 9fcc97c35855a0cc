"""What a view generator is asked for, and what every generator offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

AS_SOURCE = "source"
TOWARD = ("sibling", "nearest")


@dataclass(frozen=True)
class Action:
    """One way of making a view: a row of ``actions`` in conf/views/*.yaml.

    ``like`` is the kind of view wanted, one of the augmenter's actions, or ``source``: the kind the source view is.
    ``noise`` is where the path from noise to picture starts: 1 is noise alone, 0 the source itself (SDEdit).
    ``keep_garment`` holds the garment's pixels by its mask, and only the background changes; ``clean`` makes that
    background even instead of drawing one. ``toward`` (sibling or nearest) leads to another SKU: the result is a
    counterfactual, a hard negative and never a view. ``viewpoint`` and ``zoom_in`` are what the new view's record says
    (DeepFashion2's codes); None: as the source's.
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
    """A real view: RGB ``picture`` [H, W, 3] uint8, and ``mask`` [H, W] float32, 1 on its garment; None: not known."""

    picture: np.ndarray
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class ViewRequest:
    """One view to draw.

    ``picture`` is the source view, RGB [H, W, 3] uint8; ``mask`` [H, W] float32 is 1 on its garment, None where it is
    not known; ``toward`` is a view of the other SKU where the action asks for one; ``layout`` is another SKU's view of
    the wanted kind, whose silhouette and surroundings may be taken, None where there is none; ``others`` are photos
    that may serve as background; ``category`` is the garment's, in words. ``noise`` replaces the action's own, since a
    second try adapts it. ``like`` is the augmenter's action after ``source`` was looked up. Equal requests give equal
    pictures, whatever is drawn beside them.
    """

    picture: np.ndarray
    action: Action
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
        """Move to a torch device, where the generator computes on one; return itself."""
        ...

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        """Return one RGB [size, size, 3] uint8 picture for every request, in order."""
        ...
