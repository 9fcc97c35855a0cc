"""The results of generated_views.py in words and tables."""

from typing import Any

from experiments import tables
from experiments.generated_views import CLASSIC, NONE, difference

METHODS = {"fingerprint": "fingerprint", "mean": "mean of all views"}
STRATA = {
    "1": "single-view SKUs", "2-3": "SKUs with 2-3 real views", "4+": "SKUs with 4 or more real views",
    "all": "all SKUs",
}  # fmt: skip
FEWEST = 10  # SKUs needed for an interval
HIGHER, LOWER, SAME, UNKNOWN = "higher", "lower", "no measurable difference", "too few SKUs to tell"
INTRO = (
    "Views that `stage=views` drew, and that its judge kept, join a SKU's real ones. *As many classic* has in place of"
    " each a classic augmentation of the same source (crop, mirror, tilt, light, other background). Arms share queries,"
    " retriever, augmenter and judge; every seed trains an aggregator of its own. Intervals resample SKUs, so they say"
    " nothing of another retriever, augmenter or judge. SKUs are grouped by their real views;"
    f" of fewer than {FEWEST} SKUs nothing is said."
)
DISTANCES = {
    "kept": "distance of kept views from their source", "classic": "of classic augmentations from theirs",
    "blurred": "of the source itself, blurred", "real": "of two real views of one SKU",
}  # fmt: skip
SPACES = {"distances": "", "structure": "in structure (both blurred), "}
PLANTED = {
    "random": "planted: real views of random other SKUs, rejected", "siblings": "planted: of sibling styles, rejected",
    "held_out": "planted: of the SKU itself, rejected",
}  # fmt: skip
Row = dict[str, Any]


def direction(i: Row, skus: int) -> str:
    """Return the side of 0 of an interval."""
    if skus < FEWEST:
        return UNKNOWN
    return HIGHER if i["low"] > 0 else LOWER if i["high"] < 0 else SAME


def sentence(name: str, row: Row, arm: str) -> str:
    """Return whether the views of ``arm`` raised the fingerprint's Recall@1 in one stratum."""
    i = row["fingerprint"]["recall@1"][difference(arm, NONE)]
    recall = f"Recall@1 of {STRATA[name]}"
    said = {
        HIGHER: f"Generated views ({arm}) **raised** {recall} by",
        LOWER: f"Generated views ({arm}) **lowered** {recall} by",
        SAME: f"Generated views ({arm}) **did not measurably change** {recall}:",
        UNKNOWN: f"Too few SKUs to tell whether generated views ({arm}) changed {recall}:",
    }[direction(i, row["skus"])]
    seeds = f"by seed {min(i['seeds']):+.3f} to {max(i['seeds']):+.3f}"
    asked = f"{row['queries']} queries of {row['skus']} SKUs"
    return f"{said} {tables.ranged(i, '+')} ({seeds}; {asked})."


def line(found: Row, method: str, arm: str, other: str) -> str:
    """Return a line with the differences in Recall@1 between two arms, stratum by stratum."""
    parts = []
    for name, row in found["strata"].items():
        i = row[method]["recall@1"][difference(arm, other)]
        parts.append(f"{STRATA[name]} {tables.ranged(i, '+')} ({direction(i, row['skus'])})")
    return f"Recall@1 of the {METHODS[method]}, {difference(arm, other)}: {', '.join(parts)}."


def aim(found: Row, arm: str) -> str:
    """Return whether single-view SKUs gained."""
    if "1" not in found["strata"]:
        return "No query is of a single-view SKU."
    row = found["strata"]["1"]
    gain = direction(row["fingerprint"]["recall@1"][difference(arm, NONE)], row["skus"])
    answer = {HIGHER: "met", UNKNOWN: "undecided"}.get(gain, "not met")
    return f"The aim, a gain for single-view SKUs whose interval excludes 0: **{answer}**."


def verdicts(found: Row) -> list[str]:
    """Return the results: stratum by stratum against none, then a line for every other comparison."""
    said = []
    for arm, other in found["pairs"]:
        if other == NONE and arm in found["drawn"]:
            said += [sentence(name, row, arm) for name, row in found["strata"].items()] + [aim(found, arm)]
        else:
            said.append(line(found, "fingerprint", arm, other))
    said += [line(found, "mean", arm, other) for arm, other in found["pairs"] if arm in found["drawn"]]
    for arm, same in found["as_many"].items():
        checked = "the same" if same else "**not the same: the comparison with classic views is not fair**"
        said.append(f"Numbers of views added by {arm} and by {CLASSIC}, of every SKU, split and seed: {checked}.")
    for arm, given in found["drawn_with"].items():
        said.append(f"{arm} drew with " + (", ".join(f"{k} {v}" for k, v in given.items()) or "no numbers") + ".")
    sets = ", ".join(f"{arm} {count}" for arm, count in found["sets"].items())
    said.append(f"Sets of views drawn for {found['seeds']} seed(s): {sets}.")
    kept = ", ".join(f"{arm} {count}" for arm, count in found["trained"].items())
    return [*said, f"Seeds of {found['seeds']} in which the trained aggregator was kept, not the mean: {kept}."]


def in_short(found: Row) -> list[str]:
    """Return a line for every generator with its effect against no added views."""
    return [line(found, "fingerprint", arm, NONE) for arm, other in found["pairs"] if other == NONE and arm != CLASSIC]


def arms_table(found: Row, method: str) -> str:
    """Return every arm of one method in every stratum, and its differences to none and to as many classic views."""
    others = list(dict.fromkeys(other for _, other in found["pairs"]))
    head = ["real views", "queries", "SKUs", "arm", "added views / SKU"]
    for metric in ("R@1", "MRR"):
        head += [f"{metric} [95 % over SKUs]", *(f"{metric} minus {other}" for other in others)]
    rows = []
    for name, row in found["strata"].items():
        for arm in found["arms"]:
            cells = [name, str(row["queries"]), str(row["skus"]), arm, f"{row['added'][arm]:.2f}"]
            for of in (row[method]["recall@1"], row[method]["mrr"]):
                cells += [tables.ranged(of[arm]), *(tables.ranged(of.get(difference(arm, o)), "+") for o in others)]
            rows.append(cells)
    return tables.table(head, rows)


def drawn_table(settings: list[Row]) -> str:
    """Return the views stage's report for every setting's first seed."""
    reports = {f"{tables.setting(s)} · {arm}": report
               for s in settings for arm, report in s["generated_views"]["drawn"].items() if report}  # fmt: skip
    columns = [drawn_cells(report) for report in reports.values()]
    rows = [[label, *(cells[label] for cells in columns)] for label in (columns[0] if columns else [])]
    return tables.table(["drawn views, first seed", *reports], rows)


def drawn_cells(report: Row) -> dict[str, str]:
    """Return the figures of one views stage by name; n/a where an older report lacks structure."""
    loss, beyond = report["train_loss"], report["beyond_classic"]
    return {
        "augmenter's loss, first and last tenth": f"{loss['first']:.3f}, {loss['last']:.3f}" if loss else "n/a",
        "candidates": str(report["candidates"]),
        "kept": f"{report['kept']} ({per_cent(report['share'])})",
        **{f"SKUs with {name} real views that got one": f"{of['with_views']} of {of['skus']}"
           for name, of in report["by_views"].items()},
        **{f"{prefix}{label}: 10 %, median, 90 %": spread(report.get(space, {}).get(name))
           for space, prefix in SPACES.items() for name, label in DISTANCES.items()},
        "kept views beyond the classic median": per_cent(beyond["median"]),
        "kept views beyond the classic 90 %": per_cent(beyond["p90"]),
        "in structure, kept views beyond the classic median": per_cent(beyond.get("structure_median")),
        "in structure, kept views beyond the classic 90 %": per_cent(beyond.get("structure_p90")),
        **{label: rejected(report["planted"].get(name)) for name, label in PLANTED.items()},
    }  # fmt: skip


def per_cent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.0f} %"


def spread(distances: Row | None) -> str:
    return ", ".join(f"{distances[q]:.3f}" for q in ("p10", "median", "p90")) if distances else "n/a"


def rejected(planted: Row | None) -> str:
    return f"{tables.share(planted['rejected'])} of {planted['count']}" if planted and planted["rejected"] else "n/a"


def notes(found: Row) -> list[str]:
    """Return the views stage's own warnings."""
    return [f"{arm}, first seed: {note}." for arm, report in found["drawn"].items() for note in report.get("notes", [])]
