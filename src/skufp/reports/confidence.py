"""What stage=confidence shows: a calibration plot, and lines for the terminal."""

from pathlib import Path
from typing import Any

from skufp.retrieval.confidence.verdict import PHOTO, TEXT

MODES = (PHOTO, TEXT)


def write_plot(path: Path, reports: dict[str, Any]) -> None:
    """Draw, for each mode and question, the share of outcomes against the probability in bins of equal width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    questions = {"in_catalogue": "the product is in the catalogue", "first_is_it": "the first answer is it"}
    figure, axes = pyplot.subplots(1, len(questions), figsize=(9, 4.2), sharey=True, layout="constrained")
    for axis, (name, title) in zip(axes, questions.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for mode, report in reports.items():
            for part in ("cross_fitted", "measured"):
                if part in report:
                    rows = report[part][name]["reliability"]
                    x, y = ([row[c] for row in rows] for c in ("probability", "share"))
                    axis.plot(x, y, marker="o", label=f"{mode}, {part.replace('_', '-')}")
        axis.set(title=title, xlabel="probability", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("share of queries")
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def lines(report: dict[str, Any]) -> list[str]:
    """Return lines for each mode: the source of its queries, and how well present and absent products are separated."""
    found = []
    for mode in (mode for mode in MODES if mode in report):
        own = report[mode]
        if "skipped" in own:
            found.append(f"{mode}: no confidence, {own['skipped']}")
            continue
        source = "simulated phone photos of left-out views" if own["simulated"] else f"split {report['learnt_from']}"
        found.append(f"{mode}: calibrated on {own['cross_fitted']['design_absent']['queries']} queries ({source})")
        for part, name in (("cross_fitted", "cross-fitted"), ("measured", f"measured on {report['queries']}")):
            if part in own:
                found.append(f"  {name}: {separated(own[part])}")
        if own.get("strangers"):
            others = own["strangers"]
            found.append(
                f"  of {others['photos']} photos of other products {100 * (others['accepted'] or 0):.1f} % are accepted"
            )
    return found


def separated(part: dict[str, Any]) -> str:
    """Return AUROC and false accepts with their intervals."""
    said = []
    for name, label in (("design_absent", "design not there"), ("sku_absent", "only siblings there")):
        if name in part:
            row = part[name]
            area, wrong = (_ranged(row[c]) for c in ("auroc", "false_accepts"))
            said.append(f"{label}: AUROC {area}, false accepts {wrong} at {100 * row['true_accepts']:g} % true ones")
    return "; ".join(said)


def _ranged(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
