"""Generated views: the generator, the filter, and the mix with real views."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from skufp.schema.settings import Settings


@dataclass
class AugmenterTraining:
    """The augmenter's training: ``time_*`` shape the flow's random times, ``drop`` hides conditions at random."""

    steps: int = 400  # of training
    batch_size: int = 32  # pairs in a batch
    lr: float = 1e-3  # learning rate
    weight_decay: float = 0.01  # of AdamW
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    ema: float = 0.99  # decay of averaged weights
    time_centre: float = 0.0  # centre of the flow's random times (logit)
    time_spread: float = 1.0  # their spread (logit)
    drop: dict[str, float] = field(default_factory=dict)  # chance that a condition is hidden
    gradient_checkpointing: bool = False  # less memory, more time


@dataclass
class Augmenter:
    """A diffusion transformer that draws catalogue views, its latent space, and its training recipe."""

    name: str = MISSING
    network: Settings = MISSING
    pretrained: str | None = None  # folder of the autoencoder's weights
    latents: Settings = MISSING
    image_size: int = 64  # pixels a side
    actions: Settings = MISSING
    drafts: bool = True  # start from the garment in the wanted layout
    training: AugmenterTraining = field(default_factory=AugmenterTraining)


@dataclass
class Mix:
    """The number of generated views per SKU: at most ``cap`` per real view, and at most ``views`` views in all."""

    cap: float = 2.0  # generated views per real view, at most
    views: int = 4  # most views of a SKU with generated ones


@dataclass
class ViewFilter:
    """The filter of generated views: quantiles over real views, or numbers instead; see generation/filter.py."""

    own_quantile: float = 0.1  # floor of the similarity to its SKU, of two real views of one SKU
    margin_quantile: float = 0.2  # floor of its lead over the nearest other SKU
    wrong_quantile: float = 0.98  # share of wrong pictures that the margin rejects
    copy_quantile: float = 0.75  # ceiling of the similarity to its source
    category_quantile: float = 0.05  # floor of the share of its category among the nearest real views
    neighbours: int = 20  # real views that decide the category
    colour_quantile: float = 0.9  # ceiling of the colour distance, of two real views of one SKU
    hard_quantile: float = 0.9  # a counterfactual is nearer to its SKU than this share of wrong pictures
    own_floor: float | None = None  # number in place of own_quantile
    margin: float | None = None  # number in place of margin_quantile
    copy_ceiling: float | None = None  # number in place of copy_quantile
    structure_ceiling: float | None = None  # the same for blurred pictures
    category_floor: float | None = None  # number in place of category_quantile
    colour_ceiling: float | None = None  # number in place of colour_quantile
    hard_floor: float | None = None  # number in place of hard_quantile


@dataclass
class Views:
    """Generated views: the generator, the view conditions (``actions``), the filter and the mix with real views.

    ``needs`` are embed's stages, ``made_from`` those of stage=views. ``take`` is generated, or control: as many classic
    views in their place. The noise changes by ``noise_step`` between ``rounds`` of tries.
    """

    name: str = "none"
    needs: list[str] = field(default_factory=lambda: ["prepare", "retriever"])  # stages of stage=embed
    made_from: list[str] = field(default_factory=lambda: ["prepare", "judge"])  # stages of stage=views
    take: str = "generated"  # generated, or control: classic views in their place
    generator: Settings = field(default_factory=Settings)
    actions: Settings = field(default_factory=Settings)
    control: Settings = field(default_factory=lambda: Settings(_target_="skufp.generation.classic.ClassicViews"))
    filter: ViewFilter = field(default_factory=ViewFilter)
    mix: Mix = field(default_factory=Mix)
    rounds: int = 2  # tries for each view
    noise_step: float = 0.15  # change of noise from try to try
