"""Generated views: what draws them, what they must pass, and how many join."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class AugmenterTraining:
    """How the augmenter is trained: ``time_*`` shape the flow's random times, ``drop`` hides conditions by chance."""

    steps: int = 400
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    ema: float = 0.99
    time_centre: float = 0.0
    time_spread: float = 1.0
    drop: dict[str, float] = field(default_factory=dict)
    gradient_checkpointing: bool = False


@dataclass
class Augmenter:
    """A diffusion transformer that draws catalogue views, the space that it draws in, and its recipe."""

    name: str = MISSING
    network: dict[str, Any] = MISSING
    pretrained: str | None = None
    latents: dict[str, Any] = MISSING
    image_size: int = 64
    actions: dict[str, Any] = MISSING
    drafts: bool = True
    training: AugmenterTraining = field(default_factory=AugmenterTraining)


@dataclass
class Mix:
    """How many views join a SKU's real ones: at most ``cap`` per real one, and none beyond ``views`` in all."""

    cap: float = 2.0
    views: int = 4


@dataclass
class ViewFilter:
    """What a made view must pass: quantiles of what real views do, or numbers instead; see generation/filter.py."""

    own_quantile: float = 0.1
    margin_quantile: float = 0.2
    wrong_quantile: float = 0.98
    copy_quantile: float = 0.75
    category_quantile: float = 0.05
    neighbours: int = 20
    colour_quantile: float = 0.9
    hard_quantile: float = 0.9
    own_floor: float | None = None
    margin: float | None = None
    copy_ceiling: float | None = None
    structure_ceiling: float | None = None
    category_floor: float | None = None
    colour_ceiling: float | None = None
    hard_floor: float | None = None


@dataclass
class Views:
    """Which generated views join the real ones, what draws them, and what must be true of those that are kept.

    ``needs`` are embed's stages, ``made_from`` those of stage=views. ``take`` is generated, or control: classic views
    in their place, as many for every SKU. ``rounds`` of tries change the noise by ``noise_step``.
    """

    name: str = "none"
    needs: list[str] = field(default_factory=lambda: ["prepare", "retriever"])
    made_from: list[str] = field(default_factory=lambda: ["prepare", "judge"])
    take: str = "generated"
    generator: dict[str, Any] = field(default_factory=dict)
    actions: dict[str, Any] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=lambda: {"_target_": "skufp.generation.classic.ClassicViews"})
    filter: ViewFilter = field(default_factory=ViewFilter)
    mix: Mix = field(default_factory=Mix)
    rounds: int = 2
    noise_step: float = 0.15
