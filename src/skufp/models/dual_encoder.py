"""The interfaces of image-text encoders."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from skufp.models.preprocessing import Preprocessing
from skufp.models.weights import WeightsMissingError

__all__ = [
    "Encoder",
    "SavesMemory",
    "StartsFromData",
    "TrainableEncoder",
    "WeightsMissingError",
    "fingerprint",
    "freeze",
]


@runtime_checkable
class Encoder(Protocol):
    """Embeds images and texts in one space, at unit norm. Legend: B batch, H W pixels, T tokens, D ``dim``."""

    dim: int
    token_dim: int  # width of the image tower's tokens
    preprocessing: Preprocessing

    def encode_image(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, D]."""
        ...

    def encode_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> the image tower's tokens [B, T, token_dim], and the vectors of encode_image [B, D]."""
        ...

    def encode_text(self, texts: list[str]) -> Tensor:
        """B strings -> [B, D]."""
        ...

    def to(self, device: Any) -> Self:
        """Move the weights to a device; as nn.Module."""
        ...

    def eval(self) -> Self:
        """Set the evaluation mode; as nn.Module."""
        ...

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Turn all gradients on or off; as nn.Module."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the weights by name; as nn.Module."""
        ...


@runtime_checkable
class TrainableEncoder(Encoder, Protocol):
    """An Encoder that the retriever can train and save."""

    logit_scale: nn.Parameter  # log of the sigmoid loss's temperature
    logit_bias: nn.Parameter

    def parameter_groups(self, towers: str) -> dict[str, list[nn.Parameter]]:
        """Return the parameters that train under ``towers`` (full or frozen), as {"towers": […], "heads": […]}."""
        ...

    def save(self, folder: Path) -> None:
        """Write a `save_pretrained` folder."""
        ...


@runtime_checkable
class StartsFromData(Protocol):
    """An encoder whose heads are fitted to some of the data before it trains."""

    def initialise(self, pixels: Tensor, texts: list[str]) -> None:
        """Fit the heads to photos [N, 3, H, W] and N texts."""
        ...


@runtime_checkable
class SavesMemory(Protocol):
    """An encoder with gradient checkpointing."""

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass instead of storing them."""
        ...


def fingerprint(encoder: Encoder | nn.Module, preprocessing: Preprocessing) -> str:
    """Return a hash of an encoder's weights and preprocessing: vectors of two encoders never mix."""
    digest = hashlib.sha256(preprocessing.fingerprint.encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def freeze(parameters: Iterable[nn.Parameter], frozen: bool = True) -> None:
    """Turn gradients of ``parameters`` off (or on)."""
    for parameter in parameters:
        parameter.requires_grad_(not frozen)
