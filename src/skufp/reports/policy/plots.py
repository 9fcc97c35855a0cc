"""The plots of the policy's report.html, each as a data URI of an SVG."""

from typing import Any

import numpy as np

from skufp.reports.evaluation.plots import new_figure, svg
from skufp.reports.policy.table import APART, label

COLOURS = {"policy": "#e63946", "oracle": "#5c677d", "random": "#adb5bd"}
OTHERS = "#457b9d"
BINS = 8  # bins of the predicted gains, with equal numbers of queries


def gains_plot(choices: dict[str, Any]) -> str:
    """Draw each choice's MRR minus identity's with its interval."""
    figure, axes = new_figure()
    names = [name for name in choices if name not in ("identity", APART)][::-1]
    for height, name in enumerate(names):
        gain, colour = choices[name]["minus_identity"]["mrr"], COLOURS.get(name, OTHERS)
        axes.hlines(height, gain["low"], gain["high"], color=colour, lw=2)
        axes.plot(gain["mean"], height, "o", ms=5, color=colour)
    axes.axvline(0, color="#1d2433", lw=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set(xlabel="MRR minus identity's")
    return svg(figure)


def predictions_plot(predicted: np.ndarray, realised: np.ndarray, threshold: float | None) -> str:
    """Draw the best action's realised gain [Q] against its predicted gain [Q], in equal bins, and the threshold."""
    figure, axes = new_figure()
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(BINS, len(predicted)))
    x, y = ([float(values[rows].mean()) for rows in bins] for values in (predicted, realised))
    axes.plot(x, y, "o", ms=5, color=COLOURS["policy"], label="mean of as many queries each")
    ends = [min(*x, *y, 0), max(*x, *y)]
    axes.plot(ends, ends, "--", lw=0.8, color=COLOURS["oracle"], label="as predicted")
    axes.axhline(0, color="#1d2433", lw=0.8)
    if threshold is not None:
        axes.axvline(threshold, ls=":", color=OTHERS, label="threshold")
    axes.set(xlabel="predicted gain of the best action (log rank, less price)", ylabel="realised gain")
    return svg(figure)
