"""The views stage's report: shares of kept views, reasons for rejection, and distances from the sources."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.generation.judge import Likeness
from skufp.reports.views.contact_sheet import DISTANCES

FEWEST_BEYOND, FEWEST_KEPT, FEWEST_REJECTED = 0.3, 0.3, 0.95  # below these the report has a warning


def views_report(
    rows: Sequence[ViewRow],
    real_views: Mapping[tuple[str, str], int],
    pairs: Mapping[str, Likeness],
    planted: Mapping[str, Mapping[str, Any]],
    train_losses: Sequence[float] = (),
) -> dict[str, Any]:
    """Return report.json.

    ``rows`` are views, controls and counterfactuals together; ``real_views`` is the number of real views of every
    processed SKU, by (split, sku_id). ``planted`` is the result of generation.planted. ``train_losses`` are the
    augmenter's, in order. Distances are 1 - cosine similarity in the judge's space: of the pictures as they are
    (``distances``), and of both blurred (``structure``). ``pairs`` has the likeness of pairs of ``real`` views of one
    SKU, and of ``blurred`` sources of kept views to their originals: the effect of blur alone. ``beyond_classic`` is
    the share of kept views that are farther from their source than the classic distances' median, and than their 90th
    percentile, and the same in structure. Unknown values are null.
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
    """Return the distances of kept views and of controls from their sources, and of ``pairs``, by SPACES and group."""
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
    """Return, by number of real views, the SKUs, the SKUs with a kept view, and the kept views."""
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
    """Return warnings in plain sentences."""
    warnings = []
    share, beyond, loss = report["share"], report["beyond_classic"]["structure_median"], report["train_loss"]
    if share is not None and share < FEWEST_KEPT:
        warnings.append(f"few views were kept: {report['kept']} of {report['candidates']} candidates ({share:.0%})")
    if beyond is not None and beyond < FEWEST_BEYOND:
        median = report["structure"]["classic"]["median"]
        warnings.append(
            f"the kept views are near-copies of their source: {beyond:.0%} of them are farther from it in structure"
            f" (both blurred) than a classic augmentation is (median distance {median:.3f}); {FEWEST_BEYOND:.0%}"
            " should be"
        )
    wrong = report["planted"].get("random", {})
    if wrong.get("count") and wrong["rejected"]["mean"] < FEWEST_REJECTED:
        warnings.append(
            f"the filter is too lenient: it rejects {wrong['rejected']['mean']:.1%} of {wrong['count']} real views of"
            f" random other SKUs; {FEWEST_REJECTED:.0%} should be rejected"
        )
    if loss and loss["last"] >= loss["first"]:
        warnings.append(f"the augmenter's training loss did not fall: {loss['first']:.4f} to {loss['last']:.4f}")
    return warnings
