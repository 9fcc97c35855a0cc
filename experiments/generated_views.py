"""Comparison of the arms of a sweep over views, by the number of a SKU's real views.

Values are averaged over seeds query by query, differences are taken query by query, then SKUs are resampled.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments import collect
from skufp.retrieval.bootstrap import interval
from skufp.retrieval.comparison import WITH_INTERVAL
from skufp.retrieval.metrics import per_query

NONE, CLASSIC = "none", "as many classic"
METHODS = ("fingerprint", "mean")
STRATA = ("1", "2-3", "4+", "all")
Row = dict[str, Any]
Values = dict[str, dict[str, np.ndarray]]  # method -> metric -> [seeds, Q]


def compared(variants: dict[str, collect.Variant]) -> Row:
    """Return every arm, and differences of arms, by stratum, method and metric; empty if the views do not vary.

    Only seeds that all arms have finished count. Raises SystemExit where arms differ in more than their views.
    """
    arms = {arm_of(v): v for v in variants.values()}
    if len(arms) < 2 or len(arms) < len(variants):
        return {}
    check_equal(arms)
    seeds = [seed for seed in next(iter(arms.values())).folders if all(seed in v.folders for v in arms.values())]
    if not seeds:
        return {}
    folders = {arm: [v.folders[seed] for seed in seeds] for arm, v in arms.items()}
    added = {arm: [added_views(folder) for folder in own] for arm, own in folders.items()}
    drawn = [arm for arm in arms if arm not in (NONE, CLASSIC)]
    return {
        "seeds": len(seeds), "arms": list(arms), "pairs": pairs(list(arms)), "strata": by_stratum(folders, added),
        "trained": {arm: sum(map(trained_is_kept, own)) for arm, own in folders.items()},
        "as_many": {arm: added[arm] == added[CLASSIC] for arm in drawn if CLASSIC in arms},
        "drawn_with": {arm: drawn_with(arms[arm].settings.get("views", {})) for arm in drawn},
        "sets": {arm: len({collect.upstream_folders(folder).get("views") for folder in folders[arm]}) for arm in drawn},
        "drawn": {arm: collect.upstream_report(folders[arm][0], "views", "report.json") for arm in drawn},
    }  # fmt: skip


def drawn_with(settings: Row) -> Row:
    """Return the numeric settings of a generator and its view conditions: {setting: value}."""
    found = {k: v for k, v in settings.get("views.generator", {}).items() if isinstance(v, int | float)}
    return found | {f"noise of {k}": v["noise"] for k, v in settings.get("views.actions", {}).items() if "noise" in v}


def arm_of(variant: collect.Variant) -> str:
    """Name which views join the real ones."""
    embed = variant.settings["embed"]
    return CLASSIC if embed.get("views.take") == "control" else embed.get("views.name", NONE)


def check_equal(arms: dict[str, collect.Variant]) -> None:
    """Raise SystemExit if one arm was run with other settings."""
    for stage in dict.fromkeys(stage for v in arms.values() for stage in v.settings):
        settings = [v.settings[stage] for v in arms.values() if stage in v.settings]
        if stage not in ("embed", "views") and any(s != settings[0] for s in settings):
            raise SystemExit(f"{', '.join(arms)}: not with the same settings of {stage}. Run the whole sweep again")


def pairs(arms: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of arms to compare: generated views with none and with as many classic, classic with none."""
    drawn = [arm for arm in arms if arm not in (NONE, CLASSIC)]
    every = [(arm, other) for other in (NONE, CLASSIC) for arm in drawn] + [(CLASSIC, NONE)]
    return [(arm, other) for arm, other in every if arm in arms and other in arms]


def difference(arm: str, other: str) -> str:
    """Name one arm minus another."""
    return f"{arm} minus {other}"


def added_views(folder: Path) -> Counter[tuple[str, str]]:
    """Return the number of views added to each SKU, in every split; SKUs without added views are left out."""
    columns = ["split", "sku_id", "generated"]
    rows = pq.read_table(collect.upstream_folders(folder)["embed"] / "rows.parquet", columns=columns).to_pylist()
    return Counter((row["split"], row["sku_id"]) for row in rows if row["generated"])


def trained_is_kept(folder: Path) -> bool:
    """Return whether the fingerprint stage kept the trained aggregator, not the mean of views."""
    return bool(collect.upstream_report(folder, "fingerprint", "proof.json").get("trained_is_kept"))


def by_stratum(folders: dict[str, list[Path]], added: dict[str, list[Counter[tuple[str, str]]]]) -> Row:
    """Return each stratum's queries, SKUs, added views per queried SKU, and figures with intervals."""
    values, sku, table = per_arm(folders)
    keys = list(zip(table["split"].to_pylist(), table["sku_id"].to_pylist(), strict=True))
    stratum = np.array(STRATA)[np.digitize(table["views"].to_numpy(), [2, 4])]
    result: Row = {}
    for name in STRATA:
        own = (stratum == name) | (name == "all")
        if own.any():
            asked = sorted({keys[i] for i in np.flatnonzero(own)})
            result[name] = {
                "queries": int(own.sum()), "skus": len(asked),
                "added": {arm: float(np.mean([[c[s] for s in asked] for c in seeds])) for arm, seeds in added.items()},
                **{m: {k: figures({arm: v[m][k][:, own] for arm, v in values.items()}, sku[own])
                       for k in WITH_INTERVAL} for m in METHODS},
            }  # fmt: skip
    return result


def per_arm(folders: dict[str, list[Path]]) -> tuple[dict[str, Values], np.ndarray, pa.Table]:
    """Return {arm: Values}, the queries' SKU numbers [Q] and the queries, which all arms must share."""
    values: dict[str, Values] = {}
    tables: list[pa.Table] = []
    for arm, own in folders.items():
        metrics = [collect.read_json(folder / "metrics.json") for folder in own]
        methods, sku, table = collect.joined(own, metrics, "image", "ranks.parquet")
        values[arm] = {m.name: per_query(m.ranks) for m in methods if m.name in METHODS}
        tables.append(table.select([*collect.QUERY_KEY, "views"]))
    if any(table != tables[0] for table in tables):
        raise SystemExit(f"arms differ in their queries or in the real views of a SKU: {', '.join(folders)}")
    return values, sku, tables[0]


def figures(arms: dict[str, np.ndarray], sku: np.ndarray) -> dict[str, Row]:
    """Return mean, interval and seeds' means of every arm's values [seeds, Q], and of the differences."""
    values = arms | {difference(a, b): arms[a] - arms[b] for a, b in pairs(list(arms))}
    return {
        what: interval(v.mean(axis=0), sku, collect.RESAMPLES).__dict__ | {"seeds": v.mean(axis=1).tolist()}
        for what, v in values.items()
    }
