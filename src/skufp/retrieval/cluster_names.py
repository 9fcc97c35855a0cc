"""Names for product groups: words that are over-represented in a group.

Over-representation is the weighted log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi and Quinn,
"Fightin' Words", Political Analysis 16, 2008), which excludes both common words and words of a single product.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CERTAIN = 1.96  # standard errors of the log-odds
TYPICAL = 0.2  # share of a cluster's products that have a trait, at least
SHARE = 0.4  # … and a trait in the name
WORDS = 3  # at most, in front of the noun
MIXED = "mixed products"
Words = Mapping[str, Sequence[str]]  # a product's values by field, e.g. {"colour": ["blue"]}


@dataclass(frozen=True)
class Trait:
    """A value that is over-represented in a cluster: ``share`` of its products have it, and ``rest`` of all others."""

    field: str
    value: str
    share: float
    rest: float
    z: float


def traits(labels: np.ndarray, products: Sequence[Words], fields: Sequence[str]) -> list[list[Trait]]:
    """Return for every cluster (0, 1, …) its over-represented values of ``fields``, the most significant first.

    ``labels`` [N] and N ``products``. A value counts once per product; a share TYPICAL of a cluster must have it.
    """
    sizes = np.bincount(labels).tolist()
    found: list[list[Trait]] = [[] for _ in sizes]
    for field in fields:
        counts: list[Counter[str]] = [Counter() for _ in sizes]
        for label, product in zip(labels, products, strict=True):
            counts[label].update(dict.fromkeys(product.get(field, ()), 1))
        total = sum(counts, Counter())
        for label, own in enumerate(counts):
            for value in sorted(own):
                z = log_odds(own[value], sizes[label], total[value], len(labels))
                share = own[value] / sizes[label]
                rest = (total[value] - own[value]) / max(1, len(labels) - sizes[label])
                if z > CERTAIN and share >= TYPICAL:
                    found[label].append(Trait(field, value, share, rest, z))
    return [sorted(own, key=lambda t: (-t.z, t.field, t.value)) for own in found]


def log_odds(own: int, size: int, total: int, count: int) -> float:
    """Return the log-odds ratio of a value between a cluster and the rest, in standard errors.

    ``own`` of the cluster's ``size`` products have it, ``total`` of all ``count``. The prior has the weight of one
    product.
    """
    prior = total / count
    a, b = own + prior, size - own + 1 - prior
    c, d = total - own + prior, count - size - (total - own) + 1 - prior
    if min(a, b, c, d) <= 0:  # every product has it
        return 0.0
    return float((np.log(a / b) - np.log(c / d)) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))


def names(
    labels: np.ndarray, products: Sequence[Words], fields: Sequence[str], noun: str, otherwise: Sequence[str] = ()
) -> list[str]:
    """Return a name for every cluster, such as "blue striped short sleeve top"; no two are alike.

    A name has at most WORDS traits of ``fields``, in the order of ``fields``, then the one or two most frequent values
    of the field ``noun``, or MIXED. If it is empty, traits of the fields ``otherwise`` are used (e.g. words of titles),
    else "group 3". A share SHARE of the products must have a trait; each field gives at most one.
    """
    own, further = traits(labels, products, fields), traits(labels, products, otherwise)
    made: list[str] = []
    for label in range(len(own)):
        nouns = _nouns([products[i].get(noun, ()) for i in np.flatnonzero(labels == label).tolist()])
        said = _adjectives(own[label], fields, nouns)
        words = [*said, nouns] if nouns else said or [t.value for t in further[label] if t.share >= SHARE][:WORDS]
        made.append(" ".join(words) or f"group {label + 1}")
    seen: Counter[str] = Counter()
    for label, name in enumerate(made):
        seen[name] += 1
        made[label] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return made


def _nouns(values: Sequence[Sequence[str]]) -> str:
    """Return the noun: one value that SHARE of the products have, two values of half of them together, or MIXED."""
    counts = Counter(value for own in values for value in own[:1])
    if not counts:
        return ""
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    if counts[ranked[0]] >= SHARE * len(values):
        return ranked[0]
    return " and ".join(ranked[:2]) if sum(counts[v] for v in ranked[:2]) >= len(values) / 2 else MIXED


def _adjectives(own: Sequence[Trait], fields: Sequence[str], nouns: str) -> list[str]:
    """Return the most significant value of the WORDS most significant fields, in the order of ``fields``."""
    best: dict[str, Trait] = {}
    for trait in own:
        if trait.share >= SHARE and not set(trait.value.split()) & set(nouns.split()):
            best.setdefault(trait.field, trait)
    surest = sorted(best.values(), key=lambda t: -t.z)[:WORDS]
    return [trait.value for trait in sorted(surest, key=lambda t: fields.index(t.field))]
