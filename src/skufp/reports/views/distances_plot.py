"""A plot of the distances of views from their sources."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skufp.reports.views.contact_sheet import DISTANCES, SPACES

COLOURS = {"kept": "#e63946", "classic": "#e09f3e", "blurred": "#8d99ae", "real": "#457b9d"}


def distances_plot(path: Path, distances: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Plot view_distances' result as histograms with medians, a panel for each of SPACES, into a PNG."""
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
    if known:  # above the axes
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, frameon=False, fontsize=8)
