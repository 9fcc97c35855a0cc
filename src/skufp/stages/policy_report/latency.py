"""The latency of the policy and its actions: measured part by part, and added up per photo."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from skufp.artifacts.actions import ADAPT, IDENTITY
from skufp.retrieval.evaluation.methods import one_thread

if TYPE_CHECKING:
    from skufp.models.dual_encoder import Encoder

SIGLIP_PHOTOS = 5  # photos to time SigLIP's real size with: a few hundred milliseconds each


def latency(engine: Any, photos: list[Image.Image]) -> dict[str, Any]:
    """Return the times of ``photos`` in milliseconds: one at a time, after a warm-up, on one thread.

    ``features`` and ``policy`` are the costs of every photo, ``look`` is their sum. ``actions`` is the time of each
    action, ``encode`` that of encoding the photo again after an image action; ``fixed`` is the time that an action adds
    if it is always taken. ``added`` is the time that the policy adds: to all photos, to photos with identity, and to
    photos with an action (empty if there are none). ``siglip_encode`` is model=siglip at its real size with random
    weights; ``share`` are the median look over the median encode and over the median siglip_encode.
    """
    import torch

    from skufp.actions.quality import quality
    from skufp.retrieval.latency import durations, spread

    policy, embed = engine.policy, engine.embed_photo
    pixels = [np.asarray(photo) for photo in photos]
    embeddings = [embed(photo) for photo in photos]
    looked = [(embedding, quality(image)) for embedding, image in zip(embeddings, pixels, strict=True)]
    with one_thread(), one_cv_thread(), torch.inference_mode():
        features = durations(lambda photo: quality(np.asarray(photo)), photos)
        decide = durations(lambda seen: policy.choose(*seen), looked)
        encode = durations(lambda image: embed(Image.fromarray(image)), pixels)
        actions = {name: durations(edit, pixels) for name, edit in policy.edits.items() if name != IDENTITY}
        siglip = durations(partial(encode_photo, siglip_base()), photos[:SIGLIP_PHOTOS], warm=1)
        fixed = {name: ms + encode * changes(policy.edits[name], pixels) for name, ms in actions.items()}
        if policy.adapter is not None:
            actions[ADAPT] = fixed[ADAPT] = durations(policy.adapter, embeddings)
    chosen = np.array([policy.choose(*seen).action for seen in looked])
    look = features + decide
    added = look + np.array([fixed[name][i] if name in fixed else 0.0 for i, name in enumerate(chosen)])
    acts = chosen != IDENTITY
    return {
        "threads": 1, "device": "cpu", "photos": len(photos), "size": median_size(photos),
        "features": spread(features), "policy": spread(decide), "look": spread(look), "encode": spread(encode),
        "siglip_encode": spread(siglip), "actions": {name: spread(ms) for name, ms in actions.items()},
        "fixed": {name: spread(ms) for name, ms in fixed.items()},
        "added": {"all": spread(added), "identity": spread(added[~acts]), "acts": spread(added[acts])},
        "share": {
            "encode": float(np.median(look) / np.median(encode)),
            "siglip_encode": float(np.median(look) / np.median(siglip)),
        },
    }  # fmt: skip


def changes(edit: Any, pixels: list[np.ndarray]) -> np.ndarray:
    """Return [N] bool: the photos that ``edit`` changes; an unchanged photo needs no second encoding."""
    return np.array([edit(image) is not image for image in pixels], bool)


@lru_cache(maxsize=1)
def siglip_base() -> Any:
    """Return an encoder with the image tower of SigLIP 2 base, 224 px, and random weights; made once per process.

    google/siglip2-base-patch16-224: width 768, 12 layers, 12 heads, patches of 16. Its text tower is not used.
    """
    from skufp.models.siglip import tiny_siglip

    return tiny_siglip(image_size=224, patch_size=16, width=768, depth=12, heads=12).eval()


def encode_photo(encoder: "Encoder", photo: Image.Image) -> Any:
    """Return [1, D] of a photo, preprocessing included."""
    import torch

    return encoder.encode_image(torch.from_numpy(encoder.preprocessing(photo))[None])


def median_size(photos: list[Image.Image]) -> list[int]:
    """Return [width, height], each the median."""
    return [int(side) for side in np.median([photo.size for photo in photos], axis=0)]


@contextmanager
def one_cv_thread() -> Iterator[None]:
    """Let OpenCV, which runs the actions, compute on one thread."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
