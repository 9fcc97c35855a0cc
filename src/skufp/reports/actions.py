"""The report of stage=actions: the effect of every action, always taken, on ranks of train and dev queries."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from skufp.artifacts.actions import ActionLabels

SPLITS = ("train", "dev")
STYLE: dict[str, Any] = {"title_justify": "left", "box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}


def summary(labels: ActionLabels, tried: dict[float | None, float]) -> dict[str, Any]:
    """Return the report: for each split and action the mean utility with its standard error over SKUs, and shares.

    ``acts`` is the share of queries whose vector the action changes; ``helps`` and ``hurts`` are the shares whose rank
    improves and falls. ``tried`` are the adapter's ridges with train's cross-fitted reciprocal rank. Without twins.
    """
    own = {split: labels.where(split, twin=False) for split in SPLITS}
    return {
        "queries": {split: len(part) for split, part in own.items()},
        "skus": {split: len(set(part.queries["sku_id"].to_pylist())) for split, part in own.items()},
        "ridge": labels.about.ridge,
        "ridges": [{"ridge": ridge, "train_mrr": mrr} for ridge, mrr in tried.items()],
        "actions": {
            name: {split: _row(part, number) for split, part in own.items() if len(part)}
            for number, name in enumerate(labels.actions)
        },
    }


def _row(labels: ActionLabels, action: int) -> dict[str, float | None]:
    from skufp.retrieval.bootstrap import standard_error

    utility, score, skus = labels.utilities()[:, action], labels.wide("score"), labels.column("sku_id")
    error = standard_error(utility, skus)
    return {
        "utility": float(utility.mean()), "standard_error": error if len(set(skus)) > 1 else None,
        "acts": float((score[:, action] != score[:, 0]).mean()), "helps": float((utility > 0).mean()),
        "hurts": float((utility < 0).mean()), "mrr": float(labels.wide("reciprocal_rank")[:, action].mean()),
    }  # fmt: skip


def print_report(report: dict[str, Any], console: Console) -> None:
    """Print the report: a table for each split that has queries."""
    for split in SPLITS:
        if report["queries"][split]:
            console.print(_table(report, split))
    ridge = "no change ranks best" if report["ridge"] is None else f"ridge {report['ridge']:g}"
    console.print(
        "utility: mean gain in log rank, at most log 10; ± standard error over SKUs\n"
        "acts: changes the query's vector\n"
        f"adapt: a residual on the query's vector ({ridge}, of {len(report['ridges'])} tried on train, cross-fitted)",
        highlight=False,
    )


def _table(report: dict[str, Any], split: str) -> Table:
    how = ", cross-fitted" if split == "train" else ""
    asked = f"{report['queries'][split]} {split} queries\nof {report['skus'][split]} SKUs{how}"
    table = Table(title=f"Each action always taken, {asked}", **STYLE)
    table.add_column("action")
    for name in ("utility", "acts", "helps", "hurts", "MRR"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in report["actions"].items():
        table.add_row(name, *_cells(row[split]))
    return table


def _cells(row: dict[str, float | None]) -> list[str]:
    error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.3f}"
    shares = [f"{row[name]:.0%}" for name in ("acts", "helps", "hurts")]
    return [f"{row['utility']:+.3f}{error}", *shares, f"{row['mrr']:.3f}"]
