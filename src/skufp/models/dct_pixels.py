"""Pixels in the cosine basis of blocks: lossless pixel space, ordered from low to high frequency.

A transformer of few tokens takes large patches of pixels. Two views of a garment differ mostly in low frequencies, and
in this basis a deviation per channel (ViewDiT.change) expresses that. The basis is orthonormal, so the noise of the
flow is still white noise in the pixels.

Legend: B batch, H W pixels, P side of a block, h w = H/P W/P.
Source: the DCT-II of JPEG; Ahmed, Natarajan and Rao, Discrete Cosine Transform, IEEE Trans. Computers 23 (1974).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DctPixels(nn.Module):
    """The DCT-II of every ``block`` x ``block`` pixels, of each colour: a LatentSpace of ``3 block²`` channels."""

    basis: Tensor

    def __init__(self, block: int = 8) -> None:
        super().__init__()
        self.factor, self.channels = block, 3 * block * block
        place = torch.arange(block) + 0.5
        waves = torch.cos(math.pi / block * place[None] * torch.arange(block)[:, None]) * math.sqrt(2 / block)
        waves[0] /= math.sqrt(2)
        patterns = torch.einsum("ux,vy->uvxy", waves, waves).reshape(-1, block, block)
        basis = torch.zeros(3, block * block, 3, block, block)
        for colour in range(3):
            basis[colour, :, colour] = patterns
        self.register_buffer("basis", basis.flatten(0, 1), persistent=False)

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 3 P P, h, w]."""
        return F.conv2d(pixels, self.basis.to(pixels.dtype), stride=self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """[B, 3 P P, h, w] -> [B, 3, H, W], within -1 and 1."""
        return F.conv_transpose2d(latents, self.basis.to(latents.dtype), stride=self.factor).clamp(-1, 1)
