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
FAR = 4.0  # standard deviations that an input may lie off the train mean: photos are stranger than any train set
REENCODE = "reencode"
MARKS = ("actions", "features", "specs", "encoder")  # what a policy and its inputs must agree on


class Linears(nn.Module):
    """M linear maps side by side: [M, B, I] -> [M, B, O], each by a member's own weights, started as nn.Linear's."""

    def __init__(self, members: int, inputs: int, outputs: int, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[M, B, I] -> [M, B, O]."""
        return torch.baddbmm(self.bias, x, self.weight)


class Members(nn.Module):
    """M small networks; their last layer starts at zero, so that they predict no gain before they have learnt any.

    The embedding passes ``bottleneck`` numbers, since there are more dimensions than labelled queries; 0 leaves it out.
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
    """Predicts what each action would change in log rank (up is positive), and acts where that is worth it.

    The prediction is the mean of ``members``, each of which is to learn without one fold of the train queries, so that
    every train query has a prediction that knows nothing of it (``left_out``; Breiman 1996, Stacked Regressions).
    ``actions`` are all names, identity first, ``specs`` the settings of the image actions, ``features`` the names of
    the F features and ``encoder`` the mark of the encoder that embeds: inputs of others are refused by ``check``.
    A member's prediction is the mean utility of each action over its train queries (``base`` [M, A]), plus ``strength``
    [A] times what its network makes of this query: 1 in training, then what left-out queries bear out (``shrink``).
    Further buffers: means and deviations of the inputs, the ``price`` [A] of each action in units of log rank, and the
    ``threshold`` that a predicted gain must pass: infinite, so that nothing is done, until it is calibrated.
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
        """Take the statistics of train queries, [B, D] and [B, F]; features that never change stay unscaled.

        Embeddings are centred and share one scale: dimensions differ in how much they tell.
        """
        self.feature_mean.copy_(features.mean(dim=0))
        std = features.std(dim=0, correction=0)
        self.feature_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))
        self.embedding_mean.copy_(embedding.mean(dim=0))
        std = (embedding - self.embedding_mean).square().mean().sqrt()
        self.embedding_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    @torch.no_grad()
    def start_from(self, utility: Tensor, weight: Tensor, fold: Tensor) -> None:
        """Set every member's base by train queries' utilities [B, A] and weights [B], but those of its ``fold`` [B]."""
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
        """As forward, but each query by the member that learnt without its ``fold`` [B]; by all where that is -1."""
        each = self.each(embedding, features)
        alone = each[fold.clamp_min(0), torch.arange(len(fold), device=fold.device)]
        return torch.where(fold[:, None] < 0, each.mean(dim=0), alone)

    @torch.no_grad()
    def shrink(self, embedding: Tensor, features: Tensor, fold: Tensor, utility: Tensor, weight: Tensor) -> None:
        """Set ``strength`` so that queries of left-out folds have the least squared error, within 0 and 1.

        Inputs [B, D] and [B, F], ``fold`` and ``weight`` [B], ``utility`` [B, A]. One least-squares factor an action
        (stacking, as above): 0 for what networks know nothing of, and their strong opinions on it mean nothing then.
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
        """[B, D], [B, F] -> the number of each query's action [B]: that of the largest gain, or 0, identity.

        A gain must be above 0 and above the threshold; one that is no number is neither.
        """
        gain, action = self.gains(embedding, features).max(dim=1)
        return torch.where((gain > self.threshold) & (gain > 0), action, torch.zeros_like(action))

    def check(self, **given: Any) -> None:
        """Raise UserError where ``actions``, ``features``, ``specs`` or ``encoder`` are not those learnt from."""
        for name, value in given.items():
            refuse_other(name, getattr(self, name), value)

    def save(self, folder: Path) -> None:
        """Write policy.json (names, settings of the actions, sizes) and policy.safetensors (weights and buffers)."""
        from safetensors.torch import save_file

        about = {name: getattr(self, name) for name in MARKS} | {"sizes": self.sizes}
        (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / WEIGHTS)


def load_policy(folder: Path) -> ActionPolicy:
    """Load what ActionPolicy.save wrote, ready to decide; UserError where there is none, and for other weights."""
    if not (folder / ABOUT).exists():
        raise UserError(f"there is no policy in {folder}: make one with python -m skufp stage=policy")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    policy = ActionPolicy(**{name: about[name] for name in MARKS}, **about["sizes"])
    again = "Make the policy again: python -m skufp stage=policy"
    load_exactly(policy, read_safetensors(folder / WEIGHTS, again), str(folder / WEIGHTS), again)
    return policy.eval().requires_grad_(False)


def prices(actions: Sequence[str], encoded: Sequence[str], price: Mapping[str, float]) -> list[float]:
    """Return each action's price: price["reencode"] for those in ``encoded``, and what ``price`` says of its own name.

    Identity is free. Raises UserError for a name that is no action, and for a price below 0.
    """
    for name, value in price.items():
        if name not in (REENCODE, *actions[1:]):
            raise UserError(f"policy.price.{name}: there is no such action.{nearest(name, [REENCODE, *actions[1:]])}")
        if not value >= 0:
            raise UserError(f"policy.price.{name}={value}: give 0 or more, in units of log rank")
    anew = price.get(REENCODE, 0.0)
    return [0.0, *((anew if name in encoded else 0.0) + price.get(name, 0.0) for name in actions[1:])]


def refuse_other(what: str, trained: Any, given: Any) -> None:
    """Raise UserError where ``given`` is not what a policy was ``trained`` with; of names the order counts too."""
    if (list(given) if isinstance(given, tuple) else given) != trained:
        raise UserError(
            f"the policy was trained with other {what} ({_brief(trained)}) than these ({_brief(given)}): train it again"
            " with python -m skufp stage=policy and the same settings, or write policy=none"
        )


def _brief(value: Any) -> str:
    """Names as they are, nested settings by their names."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | Mapping) else str(value)
