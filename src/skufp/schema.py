"""The configuration's schema: what may be set, of which type, and what it means. Unknown names are refused."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING, OmegaConf

from skufp.errors import UserError, nearest


@dataclass
class Data:
    """Where photos come from and how they become crops, splits and shards."""

    name: str = MISSING
    root: str | None = None
    manifest: str | None = None
    source: dict[str, Any] = MISSING
    splits: list[str] = field(default_factory=lambda: ["train", "validation", "test"])
    gallery: list[str] = field(default_factory=lambda: ["validation"])
    queries: str = "validation"
    sku_key: str = "pair_style_category"
    only_pairs: bool = False
    dev_share: float = 0.1
    held_out_share: float = 0.3
    margin: float = 0.0
    max_side: int = 640
    shard_size: int = 1000
    export_to: str | None = None


@dataclass
class Training:
    """How the retriever is trained: one recipe per model."""

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
    prefix_dims: list[int] = field(default_factory=list)
    negatives: str | None = None
    keep: str = "last"


@dataclass
class Model:
    """An image-text encoder and its training recipe."""

    name: str = MISSING
    encoder: dict[str, Any] = MISSING
    pretrained: str | None = None
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


@dataclass
class Index:
    """The FAISS index that answers queries: which vectors it holds, in which form, and how many of their dimensions."""

    name: str = MISSING
    kind: str = MISSING
    vectors: str = "fingerprint"
    dims: int | None = None


@dataclass
class LossWeights:
    """How much each loss of the fingerprint counts; 0 leaves it out. Their code: skufp/models/losses."""

    distill: float = 0.0
    contrastive: float = 0.0
    teacher_kl: float = 0.0
    multi_vector_kl: float = 0.0
    margin: float = 0.0
    triplet: float = 0.0
    smooth_ap: float = 0.0
    sup_ap: float = 0.0
    recall_at_k: float = 0.0
    listnet: float = 0.0


@dataclass
class Loss:
    """The fingerprint's loss: a weighted sum, and the settings its parts share."""

    name: str = MISSING
    weights: LossWeights = field(default_factory=LossWeights)
    temperature: float = 0.05
    rank_temperature: float = 0.01
    margin: float = 0.1
    sibling_weight: float = 1.0
    negatives: bool = False
    prefix_dims: list[int] = field(default_factory=list)


def complete_loss(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with the defaults of Loss for what it leaves out, as plain data; UserError for unknown names."""
    weights = given.get("weights", {})
    for what, names, schema in (("loss", given, Loss), ("loss.weights", weights, LossWeights)):
        known = [f.name for f in fields(schema)]
        for name in names:
            if name not in known:
                raise UserError(f"There is no setting '{what}.{name}'.{nearest(str(name), known)}")
    return asdict(Loss(**{**given, "weights": LossWeights(**weights)}))


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


@dataclass
class Actions:
    """What may be done to a query photo before it is encoded: ``actions``, classes of skufp.actions by name."""

    name: str = MISSING
    actions: dict[str, Any] = MISSING


@dataclass
class PolicyNetwork:
    """Sizes of the policy's networks; ``bottleneck`` 0 decides by quality features alone."""

    bottleneck: int = 8
    hidden: int = 32
    dropout: float = 0.5


@dataclass
class PolicyTraining:
    """How the policy is trained; errors beyond ``huber`` (in log rank) count linearly."""

    steps: int = 300
    batch_size: int = 256
    lr: float = 3e-3
    weight_decay: float = 5.0
    warmup: float = 0.1
    huber: float = 1.0


@dataclass
class Policy:
    """What may be done to a query photo before it is searched for: nothing, one fixed ``action``, or what pays.

    ``needs`` are the stages of stage=search. ``folds`` is how many networks share the decision, each trained without
    one fold of pairs. ``caution``: how many standard errors the gain must exceed. ``price``: by action, in log rank.
    """

    name: str = "none"
    needs: list[str] = field(default_factory=lambda: ["prepare", "retriever", "embed", "index"])
    action: str | None = None
    network: PolicyNetwork = field(default_factory=PolicyNetwork)
    training: PolicyTraining = field(default_factory=PolicyTraining)
    folds: int = 4
    caution: float = 2.0
    price: dict[str, float] = field(default_factory=dict)


@dataclass
class Query:
    """What `stage=search` looks for."""

    image: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    top_k: int = 5


@dataclass
class Config:
    """Everything a run is made of. Unknown keys fail at composition."""

    stage: str = "evaluate"
    seed: int = 0
    fingerprint_seed: int = 0
    runs: str = "runs"
    upstream: str = "run"
    workers: int | None = None
    threads: int | None = None
    progress: bool = True
    data: Data = MISSING
    model: Model = MISSING
    aggregator: dict[str, Any] = MISSING
    loss: Loss = MISSING
    augmenter: Augmenter = MISSING
    judge: Model = MISSING
    views: Views = field(default_factory=Views)
    policy: Policy = field(default_factory=Policy)
    actions: Actions = MISSING
    index: Index = MISSING
    trainer: Trainer = field(default_factory=Trainer)
    logger: dict[str, Any] = MISSING
    query: Query = field(default_factory=Query)
    stages: dict[str, Any] = MISSING
    ablation: str = "none"


def register_schema() -> None:
    """Make the schema known to Hydra, so that `conf/config.yaml` is checked against it, and ``${pid:}`` too.

    Two sweeps that start in the same second tell their folders by the number of their process.
    """
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("pid", os.getpid, replace=True)
