"""Thumbnails: a small JPEG of every picture, all in one file, read one at a time."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from skufp.data.thumbnail import jpeg, thumbnail

PACK, PLACES = "thumbnails.bin", "places.npy"
SIDE, QUALITY = 144, 80  # pixels of the longer side; JPEG


def write_thumbnails(folder: Path, pictures: Iterable[Path], advance: Callable[[int], None] = lambda n: None) -> None:
    """Write thumbnails.bin, one JPEG after the other, and places.npy [N + 1]: where each begins, and the end."""
    from skufp.data.decode import open_prepared

    folder.mkdir(parents=True, exist_ok=True)
    places = [0]
    with (folder / PACK).open("wb") as pack:
        for path in pictures:
            small = thumbnail(open_prepared(path), SIDE, Image.Resampling.LANCZOS)
            pack.write(data := jpeg(small, QUALITY))
            places.append(places[-1] + len(data))
            advance(1)
    np.save(folder / PLACES, np.array(places, np.int64), allow_pickle=False)


class Thumbnails:
    """Reads the files of write_thumbnails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = np.load(folder / PLACES, allow_pickle=False)

    def __getitem__(self, number: int) -> bytes:
        """Return the JPEG of the picture ``number``."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.folder}: no thumbnail {number} of {len(self)}")
        with (self.folder / PACK).open("rb") as pack:
            pack.seek(int(self.places[number]))
            return pack.read(int(self.places[number + 1] - self.places[number]))

    def __len__(self) -> int:
        return len(self.places) - 1
