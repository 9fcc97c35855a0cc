"""What may be done to a query photo, and who decides."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


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
    one fold of pairs. ``false_positive_rate``: the share of policies that may act though they know nothing
    (see callbacks/calibration.py). ``price``: by action, in log rank.
    """

    name: str = "none"
    needs: list[str] = field(default_factory=lambda: ["prepare", "retriever", "embed", "index"])
    action: str | None = None
    network: PolicyNetwork = field(default_factory=PolicyNetwork)
    training: PolicyTraining = field(default_factory=PolicyTraining)
    folds: int = 4
    false_positive_rate: float = 0.05
    price: dict[str, float] = field(default_factory=dict)
