"""The fingerprint's loss."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from skufp.errors import UserError, nearest


@dataclass
class LossWeights:
    """The weight of each loss of the fingerprint; 0 leaves it out. Their code: skufp/models/losses."""

    distill: float = 0.0  # cosine to the best view
    contrastive: float = 0.0  # cross-entropy over the SKU bank
    teacher_kl: float = 0.0  # KL to scores with the best view
    multi_vector_kl: float = 0.0  # KL to scores with every view
    margin: float = 0.0  # hinge over all wrong SKUs; loss.margin: its size
    triplet: float = 0.0  # hinge over the hardest wrong SKU
    smooth_ap: float = 0.0  # Smooth-AP
    sup_ap: float = 0.0  # SupAP
    recall_at_k: float = 0.0  # smooth recall@1, 5, 10
    listnet: float = 0.0  # ListNet to multi-vector scores


@dataclass
class Loss:
    """The fingerprint's loss: a weighted sum, and the common settings of its terms."""

    name: str = MISSING
    weights: LossWeights = field(default_factory=LossWeights)
    temperature: float = 0.05  # of softmax losses
    rank_temperature: float = 0.01  # of ranking losses
    margin: float = 0.1  # hinge over all wrong SKUs; loss.margin: its size
    sibling_weight: float = 1.0  # a sibling style counts as so many other SKUs
    negatives: bool = False  # true: counterfactual views must rank below their SKU
    prefix_dims: list[int] = field(default_factory=list)  # Matryoshka: prefix sizes to train


def complete_loss(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` completed with the defaults of Loss, as plain data; UserError for unknown names."""
    weights = given.get("weights", {})
    for what, names, schema in (("loss", given, Loss), ("loss.weights", weights, LossWeights)):
        known = [f.name for f in fields(schema)]
        for name in names:
            if name not in known:
                raise UserError(f"There is no setting '{what}.{name}'.{nearest(str(name), known)}")
    return asdict(Loss(**{**given, "weights": LossWeights(**weights)}))
