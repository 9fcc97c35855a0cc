"""What the views stage made: how much of it was kept and why not, and how far from its source it lies."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.generation.judge import Likeness
from skufp.output import styled
from skufp.reports.views.contact_sheet import DISTANCES, PLANTED, SPACES

FEWEST_BEYOND, FEWEST_KEPT, FEWEST_REJECTED = 0.3, 0.3, 0.95  # below these, the report says so in words
COLOURS = {"kept": "#e63946", "classic": "#e09f3e", "blurred": "#8d99ae", "real": "#457b9d"}
STYLE: dict[str, Any] = {
    "title_justify": "left", "caption_justify": "left", "box": box.SIMPLE_HEAD, "pad_edge": False,
    "collapse_padding": True,
}  # fmt: skip


def views_report(
    rows: Sequence[ViewRow],
    real_views: Mapping[tuple[str, str], int],
    pairs: Mapping[str, Likeness],
    planted: Mapping[str, Mapping[str, Any]],
    train_losses: Sequence[float] = (),
) -> dict[str, Any]:
    """Return report.json.

    ``rows`` are views, controls and counterfactuals together; ``real_views`` is the number of real views of every SKU
    that was asked to get some, by (split, sku_id). ``planted`` is what generation.planted found, and is passed on.
    ``train_losses`` are the augmenter's, in order. Distances are 1 - cosine similarity in the judge's space: as seen
    (``distances``), and with both pictures blurred (``structure``). ``pairs`` has the likeness of two ``real`` views of
    one SKU each, and of ``blurred`` sources of kept views to themselves: what softness alone does. ``beyond_classic``
    is the share of kept views that are farther from their source than the classic distances' median, and than their
    90th percentile, and the same in structure. What is null could not be known.
    """
    views = [row for row in rows if row.kind == VIEW]
    counterfactuals = [row for row in rows if row.kind == COUNTERFACTUAL]
    distances = view_distances(rows, pairs)
    report = _counts(views) | {
        "by_round": _grouped(views, lambda row: row.round),
        **{space: {name: _spread(values) for name, values in of.items()} for space, of in distances.items()},
        "beyond_classic": _beyond(distances["distances"]) | _beyond(distances["structure"], "structure_"),
        "by_views": _by_views(views, real_views),
        "counterfactuals": _counts(counterfactuals),
        "planted": dict(planted),
        "train_loss": _first_and_last(train_losses),
    }
    return report | {"notes": notes(report)}


def view_distances(rows: Sequence[ViewRow], pairs: Mapping[str, Likeness]) -> dict[str, dict[str, np.ndarray]]:
    """Return the distances of kept views and of controls from their sources, and of ``pairs``: in SPACES, by group."""
    kept = [row for row in rows if row.kind == VIEW and row.kept]
    classic = [row for row in rows if row.kind == CONTROL]
    seen = {"kept": [row.distance for row in kept], "classic": [row.distance for row in classic]}
    structure = {
        "kept": [row.structure_distance for row in kept],
        "classic": [row.structure_distance for row in classic],
    }
    return {
        "distances": _arrays(seen | {name: 1 - pair.seen for name, pair in pairs.items()}),
        "structure": _arrays(structure | {name: 1 - pair.structure for name, pair in pairs.items()}),
    }


def _arrays(groups: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(groups.get(name, ()), float) for name in DISTANCES}


def _counts(rows: list[ViewRow]) -> dict[str, Any]:
    reasons = Counter(reason for row in rows for reason in row.reasons)
    return _kept(rows) | {
        "by_action": _grouped(rows, lambda row: row.action),
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _grouped(rows: list[ViewRow], of: Callable[[ViewRow], str | int]) -> dict[str, dict[str, Any]]:
    return {str(name): _kept([row for row in rows if of(row) == name]) for name in sorted({of(row) for row in rows})}


def _kept(rows: list[ViewRow]) -> dict[str, Any]:
    kept = [row for row in rows if row.kept]
    return {
        "candidates": len(rows),
        "kept": len(kept),
        "share": len(kept) / len(rows) if rows else None,
        "median_distance": float(np.median([row.distance for row in kept])) if kept else None,  # of those kept
        "median_structure": float(np.median([row.structure_distance for row in kept])) if kept else None,
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    low, median, high = (float(v) for v in np.percentile(values, (10, 50, 90)))
    return {"pairs": len(values), "p10": low, "median": median, "p90": high}


def _beyond(distances: Mapping[str, np.ndarray], prefix: str = "") -> dict[str, float | None]:
    kept, classic = distances["kept"], distances["classic"]
    known = len(kept) and len(classic)
    return {prefix + name: float((kept > np.percentile(classic, q)).mean()) if known else None
            for name, q in (("median", 50), ("p90", 90))}  # fmt: skip


def _by_views(views: list[ViewRow], real_views: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Return, by number of real views, the SKUs, those that got a view, and the views they got."""
    got = Counter(row.sku for row in views if row.kept)
    if unknown := sorted(got.keys() - real_views.keys()):
        raise ValueError(f"views of {len(unknown)} SKUs that have no real view, e.g. {unknown[0]}")
    result = {name: {"skus": 0, "with_views": 0, "views": 0} for name in ("1", "2-3", "4+")}
    for sku, count in real_views.items():
        stratum = result["1" if count < 2 else "2-3" if count < 4 else "4+"]
        stratum["skus"] += 1
        stratum["with_views"] += got[sku] > 0
        stratum["views"] += got[sku]
    return result


def _first_and_last(losses: Sequence[float]) -> dict[str, float] | None:
    """Return the means of the first and the last tenth of the losses."""
    if len(losses) < 2:
        return None
    tenth = max(1, len(losses) // 10)
    return {"first": float(np.mean(losses[:tenth])), "last": float(np.mean(losses[-tenth:]))}


def notes(report: dict[str, Any]) -> list[str]:
    """Say in plain sentences what is not as it should be."""
    said = []
    share, beyond, loss = report["share"], report["beyond_classic"]["structure_median"], report["train_loss"]
    if share is not None and share < FEWEST_KEPT:
        said.append(f"few views were kept: {report['kept']} of {report['candidates']} candidates ({share:.0%})")
    if beyond is not None and beyond < FEWEST_BEYOND:
        median = report["structure"]["classic"]["median"]
        said.append(
            f"the kept views are near-copies of their source: {beyond:.0%} of them are farther from it in structure"
            f" (both blurred) than a classic augmentation is (median distance {median:.3f}); {FEWEST_BEYOND:.0%}"
            " should be"
        )
    wrong = report["planted"].get("random", {})
    if wrong.get("count") and wrong["rejected"]["mean"] < FEWEST_REJECTED:
        said.append(
            f"the filter is too lenient: it rejects {wrong['rejected']['mean']:.1%} of {wrong['count']} real views of"
            f" random other SKUs; {FEWEST_REJECTED:.0%} should be rejected"
        )
    if loss and loss["last"] >= loss["first"]:
        said.append(f"the augmenter's training loss did not fall: {loss['first']:.4f} to {loss['last']:.4f}")
    return said


def print_views_report(report: dict[str, Any], console: Console) -> None:
    """Print the report; tables fit 80 columns."""
    if loss := report["train_loss"]:
        console.print(f"augmenter's training loss: {loss['first']:.4f} to {loss['last']:.4f}", highlight=False)
    console.print(_kept_table("Views", "action", report, report["by_action"]))
    if len(report["by_round"]) > 1:
        console.print(_kept_table("Views by round", "round", report, report["by_round"]))
    if report["counterfactuals"]["candidates"]:
        apart = report["counterfactuals"]
        console.print(_kept_table("Counterfactuals: hard negatives, never views", "action", apart, apart["by_action"]))
    console.print(_reasons_table(report), *(_distances_table(report, space) for space in SPACES))
    console.print(_skus_table(report), _planted_table(report))
    for note in report["notes"]:
        console.print(styled(("warning:", "yellow"), f" {note}"))


def _kept_table(title: str, first: str, total: dict[str, Any], parts: dict[str, Any]) -> Table:
    table = _table(title, first, "candidates", "kept", "share", "median distance", "in structure")
    for name, row in [*parts.items(), ("all", total)]:
        cells = (_percent(row["share"]), _number(row["median_distance"]), _number(row["median_structure"]))
        table.add_row(name, str(row["candidates"]), str(row["kept"]), *cells, style="bold" if row is total else "")
    return table


def _reasons_table(report: dict[str, Any]) -> Table:
    table = _table("Why candidates were rejected", "reason", "views", "counterfactuals")
    own, apart = report["reasons"], report["counterfactuals"]["reasons"]
    for reason in [*own, *(r for r in apart if r not in own)]:
        table.add_row(reason, str(own.get(reason, 0)), str(apart.get(reason, 0)))
    table.caption = "one may have several reasons"
    return table


def _distances_table(report: dict[str, Any], space: str) -> Table:
    table = _table(f"{SPACES[space]} (1 - similarity)", "", "pairs", "10 %", "median", "90 %")
    for name, label in DISTANCES.items():
        row = report[space][name]
        cells = (_number(row[q]) if row else "n/a" for q in ("p10", "median", "p90"))
        table.add_row(label, str(row["pairs"]) if row else "0", *cells)
    beyond, prefix = report["beyond_classic"], "structure_" if space == "structure" else ""
    table.caption = (
        f"kept views beyond the classic median: {_percent(beyond[prefix + 'median'])}\n"
        f"kept views beyond the classic 90 %: {_percent(beyond[prefix + 'p90'])}"
    )
    return table


def _skus_table(report: dict[str, Any]) -> Table:
    table = _table("SKUs by number of real views", "real views", "SKUs", "got views", "views")
    for name, row in report["by_views"].items():
        table.add_row(name, *(str(row[column]) for column in ("skus", "with_views", "views")))
    return table


def _planted_table(report: dict[str, Any]) -> Table:
    table = _table("Real views passed off as generated ones", "planted", "views", "rejected", "95 % interval")
    for name, row in report["planted"].items():
        share = row["rejected"]
        cells = (f"{share['mean']:.1%}", f"{share['low']:.1%} to {share['high']:.1%}") if share else ("n/a", "")
        table.add_row(PLANTED.get(name, name), str(row["count"]), *cells)
    return table


def _table(title: str, first: str, *names: str) -> Table:
    table = Table(title=title, **STYLE)
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def distances_plot(path: Path, distances: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Draw what view_distances returned as histograms with their medians, a panel for each of SPACES, into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SPACES), figsize=(10.4, 4.4), sharex=True, layout="constrained")
    every = [values for of in distances.values() for values in of.values()]
    edges = np.histogram_bin_edges(np.concatenate([np.zeros(1), *every]), 40)
    for axes, (space, title) in zip(panels, SPACES.items(), strict=True):
        _histograms(axes, distances[space], edges)
        axes.set(xlabel=f"{title} (1 - similarity; dashed: medians)", ylabel="share", xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=140)
    pyplot.close(figure)


def _histograms(axes: Any, distances: Mapping[str, np.ndarray], edges: np.ndarray) -> None:
    known = {name: values for name, values in distances.items() if len(values)}
    for name, values in known.items():
        median, colour = float(np.median(values)), COLOURS[name]
        label = f"{DISTANCES[name]} ({len(values)}, median {median:.3f})"
        shares = np.histogram(values, edges)[0] / len(values)
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(shares, edges, color=colour, lw=1.4, label=label)
        axes.axvline(median, color=colour, ls="--", lw=1.2)
    if known:  # above the axes, where it hides nothing
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, frameon=False, fontsize=8)
