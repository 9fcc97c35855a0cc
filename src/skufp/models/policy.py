"""The query action policy: from a photo's embedding and quality features to at most one useful action.

Legend: B queries, D dim of embeddings, F quality features, A actions (identity first), M members.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skufp.errors import UserError, nearest
from skufp.models.weights import load_exactly, read_safetensors

ABOUT, WEIGHTS = "policy.json", "policy.safetensors"
FAR = 4.0  # inputs are clamped to so many standard deviations about the training mean: query photos have outliers
REENCODE = "reencode"
MARKS = ("actions", "features", "specs", "encoder")  # must be equal in training and use


class Linears(nn.Module):
    """M linear maps, one per member: [M, B, I] -> [M, B, O]; initialised as nn.Linear."""

    def __init__(self, members: int, inputs: int, outputs: int, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[M, B, I] -> [M, B, O]."""
        return torch.baddbmm(self.bias, x, self.weight)


class Members(nn.Module):
    """M small networks whose last layer starts at zero, so that untrained members predict no gain.

    The embedding is projected to ``bottleneck`` dimensions, since it has more dimensions than there are labelled
    queries; 0 leaves it out.
    """

    def __init__(
        self, members: int, dim: int, features: int, outputs: int, bottleneck: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.count = members
        self.narrow = nn.Sequential(nn.Dropout(dropout), Linears(members, dim, bottleneck)) if bottleneck else None
        self.mix = nn.Sequential(Linears(members, features + bottleneck, hidden), nn.GELU(), nn.Dropout(dropout))
        self.out = Linears(members, hidden, outputs, zero=True)

    def forward(self, embedding: Tensor, features: Tensor) -> Tensor:
        """[B, D], [B, F], both standardised -> utilities [M, B, A - 1] of all actions but identity."""
        embedding, features = (x.expand(self.count, *x.shape) for x in (embedding, features))
        seen = [features] if self.narrow is None else [features, self.narrow(embedding)]
        return self.out(self.mix(torch.cat(seen, dim=2)))


class ActionPolicy(nn.Module):
    """Predicts the utility of each action, its gain in log rank, and chooses an action if the gain is worth its price.

    The prediction is the mean over ``members``. Each member is trained without one fold of the training queries, so
    that every training query has an out-of-fold prediction (``left_out``; Breiman 1996, Stacked Regressions).
    A member predicts the mean utility of each action over its training queries (``base`` [M, A]), plus ``strength``
    [A] times its network's output. ``strength`` is 1 in training; ``shrink`` then fits it to out-of-fold predictions.

    ``actions`` are all names, identity first, ``specs`` the settings of the image actions, ``features`` the names of
    the F features and ``encoder`` the hash of the encoder; ``check`` refuses other values. Further buffers: means and
    deviations of the inputs, the ``price`` [A] of each action in units of log rank, and the ``threshold`` that a
    predicted gain must exceed: infinite, which selects identity, until it is calibrated.
    """

    feature_mean: Tensor
    feature_std: Tensor
    embedding_mean: Tensor
    embedding_std: Tensor
    base: Tensor
    strength: Tensor
    price: Tensor
    threshold: Tensor

    def __init__(
        self, actions: Sequence[str], features: Sequence[str], dim: int, specs: Mapping[str, Any] | None = None,
        encoder: str = "", members: int = 4, bottleneck: int = 8, hidden: int = 32, dropout: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.actions, self.features = list(actions), list(features)
        self.specs, self.encoder = dict(specs or {}), encoder
        self.sizes = {"dim": dim, "members": members, "bottleneck": bottleneck, "hidden": hidden, "dropout": dropout}
        outputs = len(self.actions) - 1
        self.members = Members(members, dim, len(self.features), outputs, bottleneck, hidden, dropout)
        self.register_buffer("feature_mean", torch.zeros(len(self.features)))
        self.register_buffer("feature_std", torch.ones(len(self.features)))
        self.register_buffer("embedding_mean", torch.zeros(dim))
        self.register_buffer("embedding_std", torch.ones(()))
        self.register_buffer("base", torch.zeros(members, len(self.actions)))
        self.register_buffer("strength", torch.ones(len(self.actions)))
        self.register_buffer("price", torch.zeros(len(self.actions)))
        self.register_buffer("threshold", torch.tensor(math.inf))

    @torch.no_grad()
    def standardise_by(self, embedding: Tensor, features: Tensor) -> None:
        """Set means and deviations from training queries, [B, D] and [B, F]; constant features are not scaled.

        Embeddings are centred and share one scale, so that the variance of a dimension stays informative.
        """
        self.feature_mean.copy_(features.mean(dim=0))
        std = features.std(dim=0, correction=0)
        self.feature_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.embedding_mean.copy_(embedding.mean(dim=0))
        std = (embedding - self.embedding_mean).square().mean().sqrt()
        self.embedding_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    @torch.no_grad()
    def start_from(self, utility: Tensor, weight: Tensor, fold: Tensor) -> None:
        """Set each member's base from utilities [B, A] and weights [B] of training queries outside its ``fold`` [B]."""
        for member, base in enumerate(self.base):
            own = weight * (fold != member)
            base.copy_((own[:, None] * utility).sum(dim=0) / own.sum().clamp_min(1e-12))

    def each(self, embedding: Tensor, features: Tensor) -> Tensor:
        """[B, D], [B, F] -> every member's predicted utilities [M, B, A], identity's 0."""
        embedding = ((embedding - self.embedding_mean) / self.embedding_std).clamp(-FAR, FAR)
        features = ((features - self.feature_mean) / self.feature_std).clamp(-FAR, FAR)
        return self.base[:, None] + self.strength * nn.functional.pad(self.members(embedding, features), (1, 0))

    def forward(self, embedding: Tensor, features: Tensor) -> Tensor:
        """[B, D], [B, F] -> predicted utilities [B, A]."""
        return self.each(embedding, features).mean(dim=0)

    def left_out(self, embedding: Tensor, features: Tensor, fold: Tensor) -> Tensor:
        """As forward, but each query by the member trained without its ``fold`` [B]; by all members for fold -1."""
        each = self.each(embedding, features)
        alone = each[fold.clamp_min(0), torch.arange(len(fold), device=fold.device)]
        return torch.where(fold[:, None] < 0, each.mean(dim=0), alone)

    @torch.no_grad()
    def shrink(self, embedding: Tensor, features: Tensor, fold: Tensor, utility: Tensor, weight: Tensor) -> None:
        """Set ``strength``, within 0 and 1, to the least-squares factor of out-of-fold predictions.

        Inputs [B, D] and [B, F], ``fold`` and ``weight`` [B], ``utility`` [B, A]. Each action has one factor (stacking,
        as above): 0 where the networks' out-of-fold predictions do not reduce the error.
        """
        self.strength.fill_(0.0)
        base = self.left_out(embedding, features, fold)
        self.strength.fill_(1.0)
        opinion = self.left_out(embedding, features, fold) - base
        fit = (weight[:, None] * opinion * (utility - base)).sum(dim=0)
        size = (weight[:, None] * opinion.square()).sum(dim=0)
        self.strength.copy_((fit / size.clamp_min(1e-12)).clamp(0, 1))

    def gains(self, embedding: Tensor, features: Tensor) -> Tensor:
        """[B, D], [B, F] -> predicted utilities less prices [B, A], identity's 0."""
        return self(embedding, features) - self.price

    def decide(self, embedding: Tensor, features: Tensor) -> Tensor:
        """[B, D], [B, F] -> the number of each query's action [B]: the one with the largest gain, or 0, identity.

        A gain must exceed 0 and the threshold; NaN does not.
        """
        gain, action = self.gains(embedding, features).max(dim=1)
        return torch.where((gain > self.threshold) & (gain > 0), action, torch.zeros_like(action))

    def check(self, **given: Any) -> None:
        """Raise UserError where ``actions``, ``features``, ``specs`` or ``encoder`` differ from those of training."""
        for name, value in given.items():
            refuse_other(name, getattr(self, name), value)

    def save(self, folder: Path) -> None:
        """Write policy.json (names, settings of the actions, sizes) and policy.safetensors (weights and buffers)."""
        from safetensors.torch import save_file

        about = {name: getattr(self, name) for name in MARKS} | {"sizes": self.sizes}
        (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)


def load_policy(folder: Path) -> ActionPolicy:
    """Load a policy that ActionPolicy.save wrote, in evaluation mode; UserError if it is missing or does not fit."""
    if not (folder / ABOUT).exists():
        raise UserError(f"there is no policy in {folder}: make one with python -m skufp stage=policy")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    policy = ActionPolicy(**{name: about[name] for name in MARKS}, **about["sizes"])
    again = "Make the policy again: python -m skufp stage=policy"
    load_exactly(policy, read_safetensors(folder / WEIGHTS, again), str(folder / WEIGHTS), again)
    return policy.eval().requires_grad_(False)


def prices(actions: Sequence[str], encoded: Sequence[str], price: Mapping[str, float]) -> list[float]:
    """Return each action's price: the entry of its name in ``price``, plus price["reencode"] for those in ``encoded``.

    Identity is free. Raises UserError for an unknown action, and for a price below 0.
    """
    for name, value in price.items():
        if name not in (REENCODE, *actions[1:]):
            raise UserError(f"policy.price.{name}: there is no such action.{nearest(name, [REENCODE, *actions[1:]])}")
        if not value >= 0:
            raise UserError(f"policy.price.{name}={value}: give 0 or more, in units of log rank")
    anew = price.get(REENCODE, 0.0)
    return [0.0, *((anew if name in encoded else 0.0) + price.get(name, 0.0) for name in actions[1:])]


def refuse_other(what: str, trained: Any, given: Any) -> None:
    """Raise UserError where ``given`` differs from what a policy was ``trained`` with, including the order of names."""
    if (list(given) if isinstance(given, tuple) else given) != trained:
        raise UserError(
            f"the policy was trained with other {what} ({_brief(trained)}) than these ({_brief(given)}): train it again"
            " with python -m skufp stage=policy and the same settings, or write policy=none"
        )


def _brief(value: Any) -> str:
    """Return names as they are, and nested settings by their names."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | Mapping) else str(value)
