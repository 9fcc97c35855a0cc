"""What may be done to a query photo, and who decides."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from skufp.schema.settings import Settings

NONE, FIXED = "none", "fixed"  # names of policies; every other one is a learnt one


@dataclass
class Actions:
    """What may be done to a query photo before it is encoded: ``actions``, classes of skufp.actions by name."""

    name: str = MISSING
    actions: Settings = MISSING


@dataclass
class PolicyNetwork:
    """Sizes of the policy's networks; ``bottleneck`` 0 decides by quality features alone."""

    bottleneck: int = 8  # numbers kept of the embedding; 0: quality measures alone
    hidden: int = 32  # width of the networks
    dropout: float = 0.5  # in training


@dataclass
class PolicyTraining:
    """How the policy is trained; errors beyond ``huber`` (in log rank) count linearly."""

    steps: int = 300  # of training
    batch_size: int = 256  # queries in a batch
    lr: float = 3e-3  # learning rate
    weight_decay: float = 5.0  # of AdamW
    warmup: float = 0.1  # share of the steps in which the learning rate rises
    huber: float = 1.0  # errors beyond it, in log rank, count linearly


@dataclass
class Policy:
    """What may be done to a query photo before it is searched for: nothing, one fixed ``action``, or what pays.

    ``needs`` are the stages that stage=bundle stands on. ``folds`` is how many networks share the decision, each
    trained without one fold of pairs. ``false_positive_rate``: the share of policies that may act though they know
    nothing (see callbacks/calibration.py). ``price``: by action, in log rank.
    """

    name: str = "none"
    needs: list[str] = field(
        default_factory=lambda: ["prepare", "retriever", "embed", "index"]
    )  # stages that stage=bundle stands on
    action: str | None = None  # policy=fixed: the action
    network: PolicyNetwork = field(default_factory=PolicyNetwork)
    training: PolicyTraining = field(default_factory=PolicyTraining)
    folds: int = 4  # networks that share the decision, each trained without a fold
    false_positive_rate: float = 0.05  # share of policies that may act though they know nothing
    price: dict[str, float] = field(default_factory=dict)  # cost by action, in log rank
