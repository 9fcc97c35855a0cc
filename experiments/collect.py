"""From finished sweeps to summaries: one per sweep, data, model and query split, seeds joined.

A Hydra multirun leaves runs/sweeps/<time>/job-NNN.json; each names the folder of its evaluation.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from skufp.retrieval.bootstrap import interval
from skufp.retrieval.comparison import WITH_INTERVAL, Method, by_stratum, compare, view_count_stratum

SEEDS = ("seed", "fingerprint_seed")
RESAMPLES = 2000
QUERY_KEY = ("split", "sku_id", "view_id")


@dataclass
class Variant:
    """One setting of a sweep: the evaluation folders of its seeds."""

    label: str
    folders: dict[str, Path] = field(default_factory=dict)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def sweeps(runs: Path) -> dict[tuple[str, ...], dict[str, Variant]]:
    """Return {(sweep, data, model, query split): {label: variant}}; of a setting that ran twice the latest counts."""
    found: dict[tuple[str, ...], dict[str, Variant]] = defaultdict(dict)
    for sweep in sorted(p for p in (runs / "sweeps").glob("*") if p.is_dir()):
        jobs = [read_json(p) for p in sorted(sweep.glob("job-*.json"))]
        jobs = [j for j in jobs if j["stage"] == "evaluate" and (Path(j["folder"]) / "metrics.json").exists()]
        varied = varied_keys([j["overrides"] for j in jobs])
        for job in jobs:
            settings = dict(o.split("=", 1) for o in job["overrides"])
            named = [k for k in varied if k not in SEEDS]
            folder = Path(job["folder"])
            run, split = (read_json(folder / "metrics.json")[k] for k in ("run", "queries"))
            name = job["sweep"] if job["sweep"] != "config" else "-".join(named) or "seeds"
            label = ", ".join(f"{k.rpartition('.')[2]}={settings[k]}" for k in named) or run["ablation"]
            variants = found[name, run["data"], run["model"], split["split"]]
            seed = "/".join(settings.get(k, "0") for k in SEEDS)
            variants.setdefault(label, Variant(label)).folders[seed] = folder
    return dict(found)


def varied_keys(overrides: list[list[str]]) -> list[str]:
    """Return the settings that take several values in a sweep, in the order they are written."""
    values: dict[str, set[str]] = defaultdict(set)
    for job in overrides:
        for override in job:
            key, _, value = override.partition("=")
            values[key].add(value)
    return [key for key, seen in values.items() if len(seen) > 1]


def summarise(name: tuple[str, ...], variants: dict[str, Variant]) -> dict[str, Any]:
    """What tables and figures need of one sweep. The first variant is the reference that others are compared with."""
    rows = [summarise_variant(v) for v in variants.values()]
    reference = rows[0].pop("values")
    for row in rows[1:]:
        values = row.pop("values")
        if [*values["queries"]] == [*reference["queries"]]:
            row["minus_reference"] = {
                k: interval(values[k] - reference[k], reference["sku"], RESAMPLES).__dict__ for k in WITH_INTERVAL
            }
    sweep, data, model, split = name
    return {"sweep": sweep, "data": data, "model": model, "split": split, "variants": rows}


def summarise_variant(variant: Variant) -> dict[str, Any]:
    """Join a variant's seeds: values are averaged over seeds query by query, then SKUs are bootstrapped."""
    folders = list(variant.folders.values())
    metrics = [read_json(f / "metrics.json") for f in folders]
    photo, sku, table = joined(folders, metrics, "image", "ranks.parquet")
    first = metrics[0]
    row = {
        "label": variant.label, "seeds": len(folders), "run": first["run"], "queries": first["queries"],
        "gallery": first["gallery"], "image": compare(photo, sku, RESAMPLES, 0), "gap": first["gap"]["image"],
        "views": by_stratum(photo, view_count_stratum(table["views"].to_numpy()), sku, RESAMPLES, 0),
        "siblings": metrics[0]["strata"]["sibling_style_in_gallery"], "latency": first["latency"],
        "sizes": mean_sizes([m["sizes"] for m in metrics]),
        "teacher": upstream_report(folders[0], "teacher", "report.json"),
        "proof": upstream_report(folders[0], "fingerprint", "proof.json"),
        "wall_seconds_all_stages": wall_seconds(folders[0]),
    }  # fmt: skip
    if first["text"]:
        texts, text_sku, _ = joined(folders, metrics, "text", "ranks_text.parquet")
        row["text"] = compare(texts, text_sku, RESAMPLES, 0)
    ours = next(m for m in photo if m.name == "fingerprint").values()
    keys = ["/".join(map(str, k)) for k in zip(*(table[c].to_pylist() for c in QUERY_KEY), strict=True)]
    row["values"] = {k: ours[k] for k in WITH_INTERVAL} | {"queries": keys, "sku": sku}
    return row


def joined(folders: list[Path], metrics: list[dict[str, Any]], kind: str, file: str) -> tuple[list[Method], Any, Any]:
    """Return every method with the ranks [seeds, Q] of all seeds, the queries' SKU numbers, and the first table."""
    tables = [pq.read_table(folder / file) for folder in folders]
    keys = [c for c in (*QUERY_KEY, "text") if c in tables[0].column_names]
    tables = [t.sort_by([(c, "ascending") for c in keys]) for t in tables]
    if any(t.select(keys) != tables[0].select(keys) for t in tables):
        raise SystemExit(f"the seeds of one setting have different queries: {', '.join(map(str, folders))}")
    methods = []
    for name, row in metrics[0][kind].items():
        ranks = np.stack([t[f"rank_{name}"].to_numpy() for t in tables])
        methods.append(Method(name, ranks, row["vectors_per_sku"], row["bytes_per_sku"], row["search"], row["note"]))
    skus = ["/".join(map(str, k)) for k in zip(*(tables[0][c].to_pylist() for c in QUERY_KEY[:2]), strict=True)]
    return methods, np.unique(skus, return_inverse=True)[1], tables[0]


def mean_sizes(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Average the points of the recall-against-bytes curve over seeds."""
    result = []
    for points in zip(*runs, strict=True):
        if "skipped" not in points[0]:
            keep = {k: points[0][k] for k in ("vectors", "dims", "kind", "bytes_per_sku")}
            result.append(keep | {k: float(np.mean([p[k] for p in points])) for k in WITH_INTERVAL})
    return result


def upstream_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of all stages that an evaluation stands on."""
    found: dict[str, Path] = {}
    for stage, key in read_json(folder / "manifest.json")["inputs"].items():
        for upstream in (folder.parent.parent / stage).glob(f"*-{key}"):
            found |= {stage: upstream} | upstream_folders(upstream)
    return found


def upstream_report(folder: Path, stage: str, file: str) -> dict[str, Any]:
    """Return a file that an upstream stage left; empty where it left none."""
    path = upstream_folders(folder)[stage] / file
    return read_json(path) if path.exists() else {}


def wall_seconds(folder: Path) -> int:
    """How long all stages of one evaluation took together."""
    every = [folder, *upstream_folders(folder).values()]
    return round(sum(read_json(f / "manifest.json")["wall_seconds"] for f in every))
