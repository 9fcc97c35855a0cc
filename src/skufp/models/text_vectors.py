"""Texts to vectors, in batches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skufp.models.dual_encoder import Encoder


def text_vectors(encoder: "Encoder", texts: Sequence[str], batch_size: int) -> np.ndarray:
    """Return [N, D] float32 of ``texts``, in their order; equal texts are encoded once. Call it without gradients."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    distinct = list(number)
    parts = [
        encoder.encode_text(distinct[i : i + batch_size]).float().cpu().numpy()
        for i in range(0, len(distinct), batch_size)
    ]
    whole: np.ndarray = np.concatenate([np.zeros((0, encoder.dim), np.float32), *parts])
    return whole[[number[text] for text in texts]]
