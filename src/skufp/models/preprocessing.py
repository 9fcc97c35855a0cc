"""Image preprocessing, shared by training, indexing and serving, with a hash that the index stores."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Preprocessing:
    """Resize to ``size`` x ``size`` (aspect not kept, as SigLIP does) and normalise.

    With ``shortest_edge`` the shorter side is resized to that length with the aspect kept, and the ``size`` x ``size``
    centre is cropped, as CLIP does. ``letterbox`` keeps the aspect and fills with ``fill``; ``resample`` is Pillow's
    filter number. Raises ValueError for a crop larger than ``shortest_edge``.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resample: int = 3  # bicubic
    letterbox: bool = False
    fill: int = 255
    shortest_edge: int | None = None

    def __post_init__(self) -> None:
        if self.shortest_edge is not None and (self.shortest_edge < self.size or self.letterbox):
            raise ValueError(
                f"shortest_edge={self.shortest_edge}, size={self.size}, letterbox={self.letterbox}: the crop must fit"
                " into the resized picture, and a letterbox is not cropped"
            )

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return [3, size, size] float32 of an RGB picture."""
        if self.letterbox:
            image = self._square(image)
        resized = self._resized(image)
        pixels: np.ndarray = np.asarray(resized, np.float32) / 255.0
        pixels = (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _resized(self, image: Image.Image) -> Image.Image:
        resample = Image.Resampling(self.resample)
        if self.shortest_edge is None:
            return image.resize((self.size, self.size), resample)
        shorter = min(image.size)
        # The product before the quotient, as in transformers: the other order rounds to a pixel less now and then.
        width, height = (int(self.shortest_edge * side / shorter) for side in image.size)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        return image.resize((width, height), resample).crop((left, top, left + self.size, top + self.size))

    def _square(self, image: Image.Image) -> Image.Image:
        side = max(image.size)
        square = Image.new("RGB", (side, side), (self.fill,) * 3)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return square

    @property
    def fingerprint(self) -> str:
        """A short hash of every setting that is not None, so that a new optional setting keeps old indexes valid."""
        settings = {name: value for name, value in asdict(self).items() if value is not None}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Make one from JSON values."""
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)
