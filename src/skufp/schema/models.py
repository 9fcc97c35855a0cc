"""Image-text encoders, their training, and the Trainer."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from skufp.schema.settings import Settings


@dataclass
class Training:
    """The retriever's training recipe, one per model.

    ``encode_at_once`` images, or texts, of a batch are encoded at a time; gradients are those of the whole batch.
    ``wise_ft``: shares of the training to select from after it (stages/fit/retriever_mix.py); null keeps all of it,
    the only sensible choice without a pretrained start.
    """

    towers: str = "full"  # full, frozen, or auto: full where there is a GPU
    steps: int = 400  # 0 trains nothing
    skus_per_batch: int = 16  # SKUs in a batch
    images_per_sku: int = 4  # photos of each, the first half as queries
    siblings: int = 2  # most SKUs of one pair in a batch
    lr: float = 1e-3  # of the towers
    head_lr: float = 1e-3  # of the heads
    weight_decay: float = 0.05  # of AdamW
    warmup: float = 0.1  # share of the steps in which the learning rate rises
    image_loss: str = "sigmoid"  # sigmoid or info_nce
    image_weight: float = 1.0  # of the loss between photos
    text_weight: float = 1.0  # of the loss between photos and texts
    text_moves_images: bool = True  # false: the text loss trains the text side only
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.0  # decay of averaged weights; 0: none
    gradient_checkpointing: bool = False  # less memory, more time
    encode_at_once: int | None = None  # photos encoded at a time; null: the whole batch
    prefix_dims: list[int] = field(default_factory=list)  # Matryoshka: prefix sizes to train
    negatives: str | None = None  # folder of a views stage, whose counterfactuals are hard negatives
    keep: str = "last"  # last, or best: highest MRR of dev queries
    wise_ft: list[float] | None = None  # shares of the training to select from; null: all of it


@dataclass
class Model:
    """An image-text encoder and its training recipe; ``zero_shot``: it understands words outside its training texts."""

    name: str = MISSING
    encoder: Settings = MISSING  # class and arguments
    pretrained: str | None = None  # hub name or local folder
    zero_shot: bool = False  # it understands words outside its training texts
    training: Training = field(default_factory=Training)  # the recipe
    augmentation: Settings | None = None  # of photos in training; null: none
    batch_size: int = 64  # photos encoded at a time outside training


@dataclass
class Trainer:
    """The devices and precision of the Lightning Trainer."""

    name: str = "auto"
    accelerator: str = "auto"  # auto, cpu, gpu, cuda or mps
    devices: Any = 1  # processes that share each batch: a number, a list of GPUs, or -1 for all GPUs
    strategy: str = "auto"  # auto, ddp or a variant
    precision: str = "32-true"  # 32-true, bf16-mixed or 16-mixed
    checks: int = 4  # validations on dev queries in a fit
