"""The policy's report.html: tables, plots, and queries before and after their action, in one file."""

from pathlib import Path
from typing import Any

import numpy as np

from skufp.reports.html import write_html
from skufp.reports.policy.plots import gains_plot, predictions_plot
from skufp.reports.policy.table import APART, added_ms, label, lines
from skufp.schema import Config


def write_report(cfg: Config, out: Path, report: dict[str, Any], outcome: Any, examples: list[dict[str, Any]]) -> None:
    """Write report.html."""
    plots = {
        "gains": gains_plot(report["choices"]),
        "predictions": predictions_plot(*best_gains(outcome), report["policy"]["threshold"]),
    }
    write_html(
        out / "report.html", Path(__file__).with_suffix(".html.j2"),
        title=f"{cfg.data.label} · {cfg.model.name} · {cfg.aggregator.name}", report=report, plots=plots, apart=APART,
        simulated=str(cfg.data.name).startswith("synthetic"), label=label, added_ms=added_ms, examples=examples,
        lines=lines(report), most=max(map(max, report["confusion"])),
    )  # fmt: skip


def best_gains(outcome: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and realised gain [Q] (utility less price) of the action with the best prediction, taken or not.

    Identity, whose gain is 0 by definition, is left out.
    """
    best = outcome.predicted[:, 1:].argmax(axis=1) + 1
    row, realised = np.arange(len(best)), outcome.labels.utilities() - outcome.price
    return outcome.predicted[row, best], realised[row, best]
