"""Query photos edited by every action, in input order, by several processes.

Legend: A image actions (identity first), K of them that changed a photo, F features.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from skufp.actions.action import Action
from skufp.actions.quality import quality
from skufp.compute.parts import LocalProcesses
from skufp.data.decode import open_prepared
from skufp.data.noisy_twin import noisy_twin
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

AHEAD = 4  # photos per process that are edited in advance; they wait in memory


@dataclass(frozen=True)
class Photo:
    """A photo to edit; with ``twin_of``, its noisy twin of that name instead."""

    path: Path
    twin_of: str = ""


@dataclass(frozen=True)
class EditedPhoto:
    """``pixels`` [1 + K, 3, S, S]: the photo itself and its edits by the actions ``changed`` [K] (their numbers).

    ``quality`` [F] is of the photo itself.
    """

    pixels: np.ndarray
    changed: np.ndarray
    quality: np.ndarray


def edit(photo: Photo, actions: Mapping[str, Action], preprocessing: Preprocessing) -> EditedPhoto:
    """Open a photo at full size, as the search engine does, and apply every action but the first (identity).

    An action that returns its input changed nothing and needs no encoding. UserError where an action returns no
    picture, and for a photo that cannot be read.
    """
    image = np.asarray(open_prepared(photo.path))
    if photo.twin_of:
        image = noisy_twin(image, photo.twin_of)
    changed, pictures = [], [image]
    for number, (name, action) in enumerate(actions.items()):
        edited = action(image) if number else image
        if edited is not image:
            changed.append(number)
            pictures.append(_checked(name, edited))
    pixels = np.stack([preprocessing(Image.fromarray(picture)) for picture in pictures])
    return EditedPhoto(pixels, np.array(changed, np.int64), quality(image))


def _checked(name: str, edited: Any) -> np.ndarray:
    is_array = isinstance(edited, np.ndarray)
    if is_array and edited.dtype == np.uint8 and edited.ndim == 3 and edited.shape[2] == 3 and edited.size:
        return np.ascontiguousarray(edited)
    what = f"{edited.dtype} {list(edited.shape)}" if is_array else type(edited).__name__
    raise UserError(f"actions.actions.{name} returned {what}: an action returns RGB, uint8 [H, W, 3]")


def edit_all(
    photos: Iterable[Photo], actions: Mapping[str, Action], preprocessing: Preprocessing, workers: int
) -> Iterator[EditedPhoto]:
    """Yield every edited photo in order; the result does not depend on ``workers``, the number of processes."""
    work = partial(edit, actions=dict(actions), preprocessing=preprocessing)
    processes = LocalProcesses(workers, ahead=AHEAD, set_up=partial(cv2.setNumThreads, 1))
    with closing(processes.map(work, photos)) as edited:
        yield from edited
