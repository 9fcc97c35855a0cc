"""The plots of report.html, each as a data URI of an SVG."""

import io
from typing import Any

import numpy as np

from skufp.reports.picture import inlined_svg
from skufp.retrieval.evaluation.methods import LABELS

COLOURS = {
    "multi_vector": "#5c677d",
    "two_prototypes": "#adb5bd",
    "mean": "#457b9d",
    "attention_no_distill": "#f4a261",
    "fingerprint": "#e63946",
}
TELLING = tuple(COLOURS)  # the methods in plots; the tables have all
MARKERS = {"flat": "o", "int8": "s", "rabitq": "^", "pq": "D", "hnsw": "v"}
CUTOFFS = (1, 5, 10, 20)


def new_figure() -> tuple[Any, Any]:
    """Return a figure and its axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 3.8), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes


def svg(figure: Any) -> str:
    """Return a figure as a data URI, with a legend if it has labels, and close it."""
    from matplotlib import pyplot

    if any(axes.get_legend_handles_labels()[0] for axes in figure.axes):
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    pyplot.close(figure)
    return inlined_svg(buffer.getvalue())


def recall_plot(results: dict[str, Any]) -> str:
    """Draw Recall@k of the methods in TELLING, with the interval of Recall@1."""
    figure, axes = new_figure()
    shown = [name for name in TELLING if name in results]
    for place, name in enumerate(shown):
        row, colour = results[name], COLOURS[name]
        recall = [row[f"recall@{k}"] for k in CUTOFFS]
        axes.plot(range(4), recall, marker="o", ms=4, label=LABELS[name], color=colour)
        beside = (place - (len(shown) - 1) / 2) * 0.05  # otherwise the intervals overlap
        axes.vlines(beside, row["interval"]["recall@1"]["low"], row["interval"]["recall@1"]["high"], color=colour)
    axes.set(xticks=range(4), xticklabels=CUTOFFS, xlabel="k", ylabel="Recall@k", ylim=(None, 1.02))
    return svg(figure)


def strata_plot(strata: dict[str, Any]) -> str:
    """Draw the MRR of the methods in TELLING by number of catalogue views."""
    figure, axes = new_figure()
    names = list(strata)
    shown = [name for name in TELLING if name in strata[names[0]]]
    width = 0.8 / len(shown)
    for i, method in enumerate(shown):
        heights = [strata[n][method]["mrr"] for n in names]
        axes.bar(np.arange(len(names)) + i * width, heights, width * 0.92, label=LABELS[method], color=COLOURS[method])
    labels = [f"{n}\n({strata[n]['queries']})" for n in names]
    axes.set(xlabel="catalogue views of the SKU (queries)", ylabel="MRR")
    axes.set_xticks(np.arange(len(names)) + width * (len(shown) - 1) / 2, labels)
    return svg(figure)


def sizes_plot(sizes: list[dict[str, Any]], results: dict[str, Any]) -> str:
    """Draw Recall@1 against bytes per SKU: a line per vectors and form, a point per number of dimensions."""
    figure, axes = new_figure()
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sizes:
        if "skipped" not in row:
            lines.setdefault((row["vectors"], row["kind"]), []).append(row)
    for (vectors, kind), rows in lines.items():
        points = sorted((r["bytes_per_sku"], r["recall@1"]) for r in rows)
        axes.plot(
            *zip(*points, strict=True), marker=MARKERS.get(kind, "x"), ms=4.5, lw=1, color=COLOURS.get(vectors),
            ls="-" if vectors == "fingerprint" else "--", label=f"{LABELS.get(vectors, vectors)}, {kind}",
        )  # fmt: skip
    many = results["multi_vector"]
    axes.plot(many["bytes_per_sku"], many["recall@1"], "*", ms=10, color=COLOURS["multi_vector"], label="multi-vector")
    axes.set(xscale="log", xlabel="bytes per SKU", ylabel="Recall@1")
    return svg(figure)
