"""Actions on query photos, and the policy that chooses among them."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from skufp.schema.settings import Settings

NONE, FIXED = "none", "fixed"  # names of policies; all others are learnt


@dataclass
class Actions:
    """Edits of a query photo before it is encoded: ``actions``, classes of skufp.actions by name."""

    name: str = MISSING
    actions: Settings = MISSING


@dataclass
class PolicyNetwork:
    """Sizes of the policy's networks; ``bottleneck`` 0 uses quality features alone."""

    bottleneck: int = 8  # dimensions that the embedding is projected to; 0: quality features alone
    hidden: int = 32  # width of the networks
    dropout: float = 0.5  # in training


@dataclass
class PolicyTraining:
    """The policy's training; errors beyond ``huber`` (in log rank) count linearly."""

    steps: int = 300  # of training
    batch_size: int = 256  # queries in a batch
    lr: float = 3e-3  # learning rate
    weight_decay: float = 5.0  # of AdamW
    warmup: float = 0.1  # share of the steps in which the learning rate rises
    huber: float = 1.0  # errors beyond it, in log rank, count linearly


@dataclass
class Policy:
    """The action on a query photo before the search: none, one fixed ``action``, or a learnt choice.

    ``needs`` are the stages that stage=bundle needs. ``folds`` is the number of networks in the ensemble, each trained
    without one fold of pairs. ``false_positive_rate``: the share of uninformative policies that may act (see
    callbacks/calibration.py). ``price``: by action, in log rank.
    """

    name: str = "none"
    needs: list[str] = field(
        default_factory=lambda: ["prepare", "retriever", "embed", "index"]
    )  # stages that stage=bundle needs
    action: str | None = None  # policy=fixed: the action
    network: PolicyNetwork = field(default_factory=PolicyNetwork)
    training: PolicyTraining = field(default_factory=PolicyTraining)
    folds: int = 4  # networks of the ensemble, each trained without a fold
    false_positive_rate: float = 0.05  # share of uninformative policies that may act
    price: dict[str, float] = field(default_factory=dict)  # cost by action, in log rank
