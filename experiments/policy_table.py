"""The results of query_policy.py in words and tables."""

from typing import Any

import numpy as np

from experiments import tables
from experiments.views_table import HIGHER, LOWER, SAME, UNKNOWN, direction
from skufp.artifacts.actions import ADAPT
from skufp.retrieval.choices import IDENTITY, ORACLE, POLICY, RANDOM

SHARE_OF_GAP, SHARE_OF_ENCODING = 0.4, 0.05
INTRO = (
    "`stage=policy` looks at a query photo once and picks one action or none (identity). Against it: every action taken"
    " for all photos, of which the best on photos is picked on these very queries, so it is flattered; one drawn at"
    " random from all; and an oracle, which picks by the ranks of a noisy twin of the photo and is scored on the photo."
    " *Regret* is the oracle's reciprocal rank less the choice's. *Gap closed* is the share of the distance from"
    " identity to the oracle in MRR, and n/a where that distance is not above 0 with 95 %. Every seed has folds, labels"
    " and a policy of its own, on one retriever. Times are of one CPU thread; the SigLIP encoding that they are"
    " compared with is of the real size, with random weights."
)
Row = dict[str, Any]


def title(s: Row) -> str:
    """Name a setting, with what differs from the model's default."""
    return tables.setting(s | {"model": ", ".join(filter(None, (s["model"], s["differs"])))})


def asked(found: Row) -> str:
    gallery = {"skus": found["queries"]["gallery"]}
    return tables.asked({"queries": found["queries"], "gallery": gallery, "seeds": found["seeds"]})


def verdicts(found: Row) -> list[str]:
    """Return the results: against identity, the aims one by one, against fixed actions, and the training data."""
    labels, ridges = found["labels"], dict.fromkeys("no change" if r is None else f"{r:g}" for r in found["ridge"])
    acts = sum(threshold is not None for threshold in found["threshold"])
    return [
        sentence(found), *aims(found), *against_fixed(found),
        f"Labelled queries of a seed: {span(labels['train'])} of train, {span(labels['dev'])} of dev."
        f" Ridge of {ADAPT}: {', '.join(ridges)}.",
        f"Seeds of {found['seeds']} whose policy acts at all: {acts}.",
    ]  # fmt: skip


def sentence(found: Row) -> str:
    """Return whether the policy is better than identity."""
    row, q = found["choices"][POLICY], found["queries"]
    i = row["minus_identity"]["mrr"]
    said = {
        HIGHER: "The policy **is better** than identity", LOWER: "The policy **is worse** than identity",
        SAME: "The policy **is not measurably different** from identity",
        UNKNOWN: "Too few SKUs to tell the policy from identity",
    }[direction(i, q["skus"])]  # fmt: skip
    return (
        f"{said}: MRR {tables.ranged(i, '+')} (by seed {min(row['seeds']):+.3f} to {max(row['seeds']):+.3f};"
        f" {q['images']} queries of {q['skus']} SKUs). It acts on {100 * row['acted']:.0f} % of the queries"
        f" (by seed {span([round(100 * share) for share in row['acted_seeds']])} %)."
    )


def aims(found: Row) -> list[str]:
    """Return for each aim whether it is met."""
    row, skus, latency = found["choices"][POLICY], found["queries"]["skus"], found["latency"]
    gain, closed = direction(row["minus_identity"]["mrr"], skus), row["gap_closed"]["mrr"]
    gap = found["choices"][ORACLE]["minus_identity"]["mrr"]
    enough = None if closed is None or gain == UNKNOWN else closed["mean"] >= SHARE_OF_GAP
    quick = latency["siglip_encode"]
    return [
        f"The aim, MRR above identity's with an interval that excludes 0:"
        f" {answer(None if gain == UNKNOWN else gain == HIGHER)}.",
        f"The aim, {100 * SHARE_OF_GAP:.0f} % or more of the gap to the oracle ({tables.ranged(gap, '+')}) closed:"
        f" {answer(enough)}: {tables.share(closed)}.",
        f"The aim, features and decision within {100 * SHARE_OF_ENCODING:.0f} % of a SigLIP encoding:"
        f" {answer(float(np.median(quick)) <= SHARE_OF_ENCODING)}: {per_cent(quick)}, and"
        f" {per_cent(latency['encode'])} of an encoding with this model; medians, photos of"
        f" {' x '.join(map(str, latency['photo']))}.",
    ]


def answer(met: bool | None) -> str:
    return "**undecided**" if met is None else "**met**" if met else "**not met**"


def against_fixed(found: Row) -> list[str]:
    """Return the policy's comparison with the best action on photos and with adapt, always taken."""
    skus = found["queries"]["skus"]
    parts = [
        f"minus {label(found, name)} {tables.ranged(i, '+')} ({direction(i, skus)})"
        for name, i in found["policy_minus"].items()
    ]
    return [f"MRR of the policy against actions that are always taken: {', '.join(parts)}."] if parts else []


def in_short(found: Row) -> str:
    """Return the effects of the policy and of the best fixed actions, and the policy's cost, in a line."""
    row, skus = found["choices"][POLICY], found["queries"]["skus"]
    i = row["minus_identity"]["mrr"]
    fixed = [
        f", {label(found, name)} always taken {tables.ranged(found['choices'][name]['minus_identity']['mrr'], '+')}"
        for name in found["policy_minus"]
    ]
    return (
        f"MRR minus identity's {tables.ranged(i, '+')} ({direction(i, skus)}), {tables.share(row['gap_closed']['mrr'])}"
        f" of the gap to the oracle closed, acting on {100 * row['acted']:.0f} % of the queries{''.join(fixed)};"
        f" features and decision take {per_cent(found['latency']['siglip_encode'])} of a SigLIP encoding."
    )


def label(found: Row, name: str) -> str:
    """Return the printed name of a choice."""
    if name == found["best_image"]:
        return f"{name} (best fixed on photos)"
    return {RANDOM: "random action", POLICY: "**policy**", ORACLE: "oracle (twin)"}.get(name, name)


def choices_table(found: Row) -> str:
    """Every choice: identity, the best fixed action on photos and adapt first; then the others."""
    head = ["choice", "acts", "R@1", "R@5", "R@10", "MRR [95 % over SKUs]", "MRR minus identity's", "by seed",
            "gap closed (MRR)", "regret to the oracle", "picked by the policy", "by the oracle"]  # fmt: skip
    first = [name for name in (IDENTITY, found["best_image"], ADAPT) if name in found["choices"]]
    rows = []
    for name in dict.fromkeys([*first, *found["choices"]]):
        row, base, best = found["choices"][name], name == IDENTITY, name == ORACLE
        rows.append([
            label(found, name), f"{100 * row['acted']:.0f} %", *(f"{row[f'recall@{k}']:.3f}" for k in (1, 5, 10)),
            tables.ranged(row["interval"]["mrr"]),
            "" if base else tables.ranged(row["minus_identity"]["mrr"], "+"),
            "" if base else f"{min(row['seeds']):+.3f} to {max(row['seeds']):+.3f}",
            "" if base or best else tables.share(row["gap_closed"]["mrr"]),
            "" if best else tables.ranged(row["regret"], "+"),
            *(str(sum(found["chosen"][who][name])) if name in found["actions"] else "" for who in (POLICY, ORACLE)),
        ])  # fmt: skip
    return tables.table(head, rows) + f"\n\nPicked: queries, {found['seeds']} seed(s) together."


def span(counts: list[int]) -> str:
    """Return a number that all seeds share, or the least and the most."""
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def per_cent(shares: list[float]) -> str:
    """Return the median of the seeds' shares and, of several, the least and the most."""
    middle = f"{100 * float(np.median(shares)):.1f} %"
    return middle if len(shares) < 2 else f"{middle} (by seed {100 * min(shares):.1f} to {100 * max(shares):.1f} %)"
