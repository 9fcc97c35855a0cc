"""Image preprocessing: one function in training, indexing and serving, with a hash that the index stores."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Preprocessing:
    """Resize to ``size`` x ``size`` (aspect not kept, as SigLIP does) and normalise.

    ``letterbox`` keeps the aspect instead and fills with ``fill``; ``resample`` is Pillow's filter number.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resample: int = 3  # bicubic
    letterbox: bool = False
    fill: int = 255

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return [3, size, size] float32 of an RGB picture."""
        if self.letterbox:
            image = self._square(image)
        resized = image.resize((self.size, self.size), Image.Resampling(self.resample))
        pixels: np.ndarray = np.asarray(resized, np.float32) / 255.0
        pixels = (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _square(self, image: Image.Image) -> Image.Image:
        side = max(image.size)
        square = Image.new("RGB", (side, side), (self.fill,) * 3)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return square

    @property
    def fingerprint(self) -> str:
        """A short hash of every setting."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """Make one from JSON values."""
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**settings)
