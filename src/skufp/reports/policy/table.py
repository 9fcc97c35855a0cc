"""The tables that stage=policy_report prints: they fit 80 columns."""

from typing import Any

from rich.table import Table

from skufp.reports.evaluation.table import STYLE, difference

LABELS = {"random": "random action", "oracle": "oracle (twin)", "hindsight": "best of all, same query"}
SHOWN = ("recall@1", "recall@5", "recall@10", "mrr")
APART = "hindsight"  # not in the tables: reported in a separate line


def tables(report: dict[str, Any]) -> list[Table]:
    """Return the figures, the paired differences to identity, and the confusion table."""
    return [_figures(report), _against_identity(report), _confusion(report)]


def label(name: str) -> str:
    """Return the printed name of a choice."""
    return LABELS.get(name, name)


def _rows(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, row) for name, row in report["choices"].items() if name != APART]


def _table(columns: tuple[str, ...], title: str, caption: str = "") -> Table:
    table = Table(title=title, caption=caption or None, **STYLE)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def _figures(report: dict[str, Any]) -> Table:
    asked = report["queries"]
    table = _table(
        ("action", "acts", "R@1", "R@5", "R@10", "MRR", "adds p50", "p95"),
        title=f"Photo → SKU: {asked['images']} photos of {asked['skus']} SKUs ({asked['split']}), "
        f"gallery of {asked['gallery']}",
        caption="acts: share of queries. adds: ms, one CPU thread\n"
        "oracle: picks by a noisy twin of the photo, scored on the photo\n",
    )
    for name, row in _rows(report):
        figures = (f"{row[k]:.3f}" for k in SHOWN)
        added = (f"{ms:.1f}" for ms in added_ms(report["latency"], name))
        table.add_row(label(name), f"{100 * row['acted']:.0f}%", *figures, *added, style=_style(name))
    return table


def added_ms(latency: dict[str, Any], name: str) -> tuple[float, ...]:
    """Return p50 and p95 of the latency that a choice adds to a query; empty if not measured."""
    if name == "identity":
        return 0.0, 0.0
    spread = latency["added"]["all"] if name == "policy" else latency["fixed"].get(name)
    return (spread["p50_ms"], spread["p95_ms"]) if spread else ()


def _against_identity(report: dict[str, Any]) -> Table:
    table = _table(
        ("action", "MRR minus identity's", "regret to the oracle", "gap closed"),
        title="Against identity: 95 % intervals over SKUs",
        caption="regret: the oracle's reciprocal rank less the action's\n"
        "gap closed: from identity to oracle, MRR; n/a where that may be nothing\n",
    )
    for name, row in _rows(report):
        change = "" if name == "identity" else difference(row["minus_identity"]["mrr"])
        regret = "" if name == "oracle" else difference(row["regret"])
        closed = "" if name in ("identity", "oracle") else share(row["gap_closed"]["mrr"])
        table.add_row(label(name), change, regret, closed, style=_style(name))
    return table


def share(closed: dict[str, float] | None) -> str:
    """Return a share with its interval, in per cent."""
    if closed is None:
        return "n/a"
    mean, low, high = (round(100 * closed[end]) for end in ("mean", "low", "high"))
    return f"{mean}% [{low}, {high}]"


def _confusion(report: dict[str, Any]) -> Table:
    """Return the confusion table; rows and columns are numbered, since ten names do not fit."""
    names = report["actions"]
    table = _table(("the policy's choice", *map(str, range(len(names)))), title="The oracle's choice across")
    for i, (name, counts) in enumerate(zip(names, report["confusion"], strict=True)):
        table.add_row(f"{i} {name}", *(str(count) if count else "·" for count in counts))
    return table


def _style(name: str) -> str:
    return {"policy": "bold", "oracle": "dim"}.get(name, "")


def lines(report: dict[str, Any]) -> list[str]:
    """Return sentences on the gap, the bound by hindsight, and the cost of identity."""
    gap, bound = report["choices"]["oracle"]["minus_identity"]["mrr"], report["choices"][APART]["mrr"]
    times, share = report["latency"], report["latency"]["share"]
    look, features, policy, encode, siglip = (
        times[part]["p50_ms"] for part in ("look", "features", "policy", "encode", "siglip_encode")
    )
    acts = times["added"]["acts"]
    return [
        f"Identity → oracle: MRR {gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]. The best action of each"
        f" query by its own ranks would give MRR {bound:.3f}: an upper bound that noise flatters.",
        f"Added where the policy picks identity: {look:.2f} ms (features {features:.2f}, policy {policy:.2f}, medians),"
        f" {100 * share['siglip_encode']:.1f} % of an encoding with model=siglip ({siglip:.0f} ms) and"
        f" {100 * share['encode']:.0f} % of one with this model ({encode:.1f} ms). "
        + (f"When it acts: {acts['p50_ms']:.1f} ms." if acts else "It acted on none of the photos timed."),
    ]
