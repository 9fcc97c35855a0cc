"""TAEF2, the tiny autoencoder of FLUX.2's latents: 8 pixels a side, 32 channels, a megabyte or two of weights.

Legend: B batch, H W sides of the picture, h w = H/8 W/8 sides of the latents.
Source: Ollin Boer Bohan's TAESD (https://github.com/madebyollin/taesd, MIT). Its FLUX.2 weights have a global
pooling branch beside the blocks at the lowest resolution, which diffusers' AutoencoderTiny lacks: they do not load
there, hence this module. Its layers are numbered as in the published state dicts.
"""

import torch
from torch import Tensor, nn

WIDTH = 64
POOL_WIDTH, POOL_GROUPS = 256, 4
CHANNELS, FACTOR = 32, 8
CLAMP = 3.0


class Block(nn.Module):
    """Three convolutions with a skip; ``pooled`` blocks first add two 1x1 convolutions after a GroupNorm.

    The GroupNorm's statistics are over the whole picture, which gives a block of small receptive field global context.
    """

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH)
        )  # fmt: skip
        self.pool: nn.Sequential | None = None
        if pooled:
            self.pool = nn.Sequential(
                nn.Conv2d(WIDTH, POOL_WIDTH, 1, bias=False), nn.GroupNorm(POOL_GROUPS, POOL_WIDTH), nn.ReLU(),
                nn.Conv2d(POOL_WIDTH, WIDTH, 1, bias=False),
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[B, 64, H, W] -> [B, 64, H, W]."""
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    """Keep latents within ±3, smoothly, so that a sampler's outliers do not reach the decoder."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.tanh(x / CLAMP) * CLAMP


class TinyAutoencoder(nn.Module):
    """Encoder and decoder. Pictures are in [0, 1], latents in the scale of FLUX.2's."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _conv(3, WIDTH), Block(),
            _down(), *_blocks(3),
            _down(), *_blocks(3),
            _down(), *_blocks(3, pooled=True),
            _conv(WIDTH, CHANNELS),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            SoftClamp(), _conv(CHANNELS, WIDTH), nn.ReLU(),
            *_blocks(3, pooled=True), *_up(),
            *_blocks(3), *_up(),
            *_blocks(3), *_up(),
            Block(), _conv(WIDTH, 3),
        )  # fmt: skip

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, 32, h, w]."""
        latents: Tensor = self.encoder(pixels)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """[B, 32, h, w] -> [B, 3, H, W], about [0, 1], not clamped."""
        pixels: Tensor = self.decoder(latents)
        return pixels


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _blocks(count: int, pooled: bool = False) -> list[Block]:
    return [Block(pooled) for _ in range(count)]


def _down() -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)


def _up() -> tuple[nn.Upsample, nn.Conv2d]:
    return nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
