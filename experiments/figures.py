"""Figures of summarised sweeps, as SVG in experiments/figures/."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).resolve().parent / "figures"
RED, BLUE, GREY = "#e63946", "#457b9d", "#8d99ae"
Row = dict[str, Any]


def _axes(height: float) -> tuple[Any, Any]:
    matplotlib.rcParams["svg.hashsalt"] = "skufp"  # the same figure is the same file
    figure, axes = pyplot.subplots(figsize=(6.4, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, name: str) -> Path:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def variants(s: Row, name: str) -> Path:
    """Draw every variant's MRR minus the mean's with its interval; the dashed line is multi-vector."""
    rows = s["variants"][::-1]
    figure, axes = _axes(0.9 + 0.36 * len(rows))
    for y, row in enumerate(rows):
        i = row["image"]["fingerprint"]["minus_mean"]["mrr"]
        axes.plot([i["low"], i["high"]], [y, y], color=RED, alpha=0.5)
        axes.plot(i["mean"], y, "o", color=RED)
    axes.axvline(0, color=BLUE, label="mean of views")
    ceiling = s["variants"][0]["image"]["multi_vector"]["minus_mean"]["mrr"]["mean"]
    axes.axvline(ceiling, color=GREY, ls="--", label="multi-vector")
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set(xlabel="MRR minus the mean's, 95 % over SKUs")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncol=2, fontsize="small")
    return _save(figure, name)


def sizes(s: Row, name: str) -> Path:
    """Draw MRR against bytes per SKU: a line per variant and index form, a point per number of dimensions."""
    figure, axes = _axes(4.2)
    styles = ["-", "--", ":", "-."]
    for row, style in zip(s["variants"], styles, strict=False):
        points = [p for p in row["sizes"] if p["vectors"] == "fingerprint"]
        for kind, colour in zip(sorted({p["kind"] for p in points}), (RED, BLUE, GREY, "#2a9d8f"), strict=False):
            line = sorted((p["bytes_per_sku"], p["mrr"]) for p in points if p["kind"] == kind)
            axes.plot(*zip(*line, strict=True), style, marker="o", ms=4, color=colour, label=f"{kind}, {row['label']}")
    axes.set(xscale="log", xlabel="bytes per SKU", ylabel="MRR")
    axes.legend(frameon=False, fontsize="x-small")
    return _save(figure, name)


def arms(found: Row, name: str) -> Path:
    """Draw the fingerprint's Recall@1 by the number of real views, for every arm of generated views."""
    figure, axes = _axes(3.6)
    strata = list(found["strata"])
    for offset, (arm, colour) in enumerate(zip(found["arms"], (BLUE, RED, GREY, "#2a9d8f"), strict=False)):
        at = np.arange(len(strata)) + 0.14 * (offset - (len(found["arms"]) - 1) / 2)
        points = [row["fingerprint"]["recall@1"][arm] for row in found["strata"].values()]
        axes.vlines(at, [i["low"] for i in points], [i["high"] for i in points], color=colour, alpha=0.5)
        axes.plot(at, [i["mean"] for i in points], "o", color=colour, label=arm)
    axes.set_xticks(range(len(strata)), strata)
    axes.set(xlabel="real views of the query's SKU", ylabel="Recall@1 of the fingerprint, 95 % over SKUs")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncol=len(found["arms"]), fontsize="small")
    return _save(figure, name)


def views(settings: list[Row], name: str) -> Path:
    """Draw fingerprint minus mean by the number of catalogue views, for every setting."""
    figure, axes = _axes(3.6)
    strata = sorted({stratum for s in settings for stratum in s["variants"][0]["views"]})
    for offset, s in enumerate(settings):
        colour = (RED, BLUE, GREY, "#2a9d8f")[offset % 4]
        label: str | None = f"{s['data']} · {s['model']}"
        for stratum, v in s["variants"][0]["views"].items():
            i = v["fingerprint"]["minus_mean"]["mrr"]
            at = strata.index(stratum) + 0.12 * (offset - (len(settings) - 1) / 2)
            axes.plot([at, at], [i["low"], i["high"]], color=colour, alpha=0.5)
            axes.plot(at, i["mean"], "o", color=colour, label=label)
            label = None
    axes.set_xticks(range(len(strata)), strata)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="catalogue views of the query's SKU", ylabel="MRR: fingerprint minus mean")
    axes.legend(frameon=False, fontsize="small")
    return _save(figure, name)
