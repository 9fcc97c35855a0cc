"""The fingerprint's loss."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from skufp.errors import UserError, nearest


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
