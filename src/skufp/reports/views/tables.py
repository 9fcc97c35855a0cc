"""The views stage's report as tables in the terminal."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from skufp.output import styled
from skufp.reports.views.contact_sheet import DISTANCES, PLANTED, SPACES

STYLE: dict[str, Any] = {
    "title_justify": "left", "caption_justify": "left", "box": box.SIMPLE_HEAD, "pad_edge": False,
    "collapse_padding": True,
}  # fmt: skip


def print_views_report(report: dict[str, Any], console: Console) -> None:
    """Print the report; tables fit 80 columns."""
    if loss := report["train_loss"]:
        console.print(f"augmenter's training loss: {loss['first']:.4f} to {loss['last']:.4f}", highlight=False)
    console.print(_kept_table("Views", "condition", report, report["by_action"]))
    if len(report["by_round"]) > 1:
        console.print(_kept_table("Views by round", "round", report, report["by_round"]))
    if report["counterfactuals"]["candidates"]:
        apart = report["counterfactuals"]
        console.print(
            _kept_table("Counterfactuals: hard negatives, never views", "condition", apart, apart["by_action"])
        )
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
