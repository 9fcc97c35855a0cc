"""Image-text encoders, their training, and what it runs on."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class Training:
    """How the retriever is trained: one recipe per model.

    ``encode_at_once``: so many of a batch's images, or texts, are encoded at a time; gradients are the whole batch's.
    ``wise_ft``: shares of the training to choose from when it is done (stages/fit/retriever_mix.py); null keeps all of
    it, the only sensible choice where the start is no pretrained model.
    """

    towers: str = "full"
    steps: int = 400
    skus_per_batch: int = 16
    images_per_sku: int = 4
    siblings: int = 2
    lr: float = 1e-3
    head_lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    image_loss: str = "sigmoid"
    image_weight: float = 1.0
    text_weight: float = 1.0
    text_moves_images: bool = True
    clip: float = 1.0
    ema: float = 0.0
    gradient_checkpointing: bool = False
    encode_at_once: int | None = None
    prefix_dims: list[int] = field(default_factory=list)
    negatives: str | None = None
    keep: str = "last"
    wise_ft: list[float] | None = None


@dataclass
class Model:
    """An image-text encoder and its training recipe; ``zero_shot``: it understands words that it was not trained on."""

    name: str = MISSING
    encoder: dict[str, Any] = MISSING
    pretrained: str | None = None
    zero_shot: bool = False
    training: Training = field(default_factory=Training)
    augmentation: dict[str, Any] | None = None
    batch_size: int = 64


@dataclass
class Trainer:
    """What the Lightning Trainer runs on."""

    name: str = "auto"
    accelerator: str = "auto"
    devices: Any = 1
    strategy: str = "auto"
    precision: str = "32-true"
    checks: int = 4
