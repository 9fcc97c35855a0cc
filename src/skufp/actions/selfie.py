"""Foreground by a network that segments people: MediaPipe's selfie segmenter, run by OpenCV."""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np

from skufp.errors import UserError

SIDE = 256
WHERE = "npm pack @mediapipe/selfie_segmentation, and unpack package/selfie_segmentation.tflite (Apache-2.0, 250 KB)"
_LOCK = Lock()  # a network is not thread-safe


class Selfie:
    """The people in a photo, by the file selfie_segmentation.tflite (MediaPipe, Google, Apache-2.0).

    UserError where ``weights`` is missing or is not that network.
    """

    def __init__(self, weights: str | None) -> None:
        if weights is None or not Path(weights).is_file():
            raise UserError(f"background.weights={weights!r}: there is no such file. Get it: {WHERE}")
        self.weights = weights
        self(np.zeros((1, 1, 3), np.uint8))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return [SIDE, SIDE] float32, 1 where a person is, clothes included."""
        square = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        try:
            with _LOCK:
                network = _network(self.weights)
                network.setInput(cv2.dnn.blobFromImage(square, 1 / 255))
                share = network.forward()
        except cv2.error as error:
            raise UserError(f"background.weights={self.weights}: OpenCV does not run it. Get it: {WHERE}") from error
        if share.shape != (1, 1, SIDE, SIDE):
            raise UserError(f"background.weights={self.weights} is another network. Get it: {WHERE}")
        return np.clip(share[0, 0], 0, 1)


@lru_cache(maxsize=1)
def _network(weights: str) -> Any:
    """Read the network once per process, outside the object, so that actions can be pickled."""
    return cv2.dnn.readNetFromTFLite(weights)
