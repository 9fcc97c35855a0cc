"""From finished sweeps to summaries: one per sweep, data, model and query split, seeds joined.

A Hydra multirun leaves runs/sweeps/<time>/job-NNN.json; each names the folder of its evaluation.
"""

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

from skufp.retrieval.bootstrap import interval
from skufp.retrieval.comparison import WITH_INTERVAL, Method, by_stratum, compare, view_count_stratum

SEEDS = ("seed", "fingerprint_seed")
RESAMPLES = 2000
QUERY_KEY = ("split", "sku_id", "view_id")


@dataclass
class Variant:
    """One setting of a sweep, what it was computed with, and the evaluation folders of its seeds."""

    label: str
    settings: dict[str, Any]
    folders: dict[str, Path] = field(default_factory=dict)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def sweeps(runs: Path) -> dict[tuple[str, ...], dict[str, Variant]]:
    """Return {(sweep, data, model, query split): {label: variant}}; of a setting that ran twice the latest run counts.

    Seeds are joined only if all other settings are equal: after a change of settings earlier seeds are left out.
    """
    found: dict[tuple[str, ...], dict[str, Variant]] = defaultdict(dict)
    for sweep in sweep_folders(runs):
        jobs = finished_jobs(sweep)
        named = [k for k in varied_keys(sweep, [j["overrides"] for j in jobs]) if k not in SEEDS]
        for job in jobs:
            settings = dict(o.partition("=")[::2] for o in job["overrides"])
            folder = Path(job["folder"])
            run, split = (read_json(folder / "metrics.json")[k] for k in ("run", "queries"))
            name = job["sweep"] if job["sweep"] != "config" else "-".join(named) or "seeds"
            values = [f"{k.rpartition('.')[2]}={settings[k]}" for k in named if k in settings]
            label = ", ".join(values) or run["ablation"]
            add_seed(found[name, data_of(job, run), run["model"], split["split"]], label, folder, run)
    return dict(found)


def data_of(job: dict[str, Any], run: dict[str, Any]) -> str:
    """Return the job's label of its data; the folder may have been made under another label."""
    return str(job.get("data") or run["data"])


def file_name(*parts: str) -> str:
    """Return the file name of a summary or a figure; a label of data may hold any characters."""
    return re.sub(r"[^\w.-]+", "_", "-".join(parts))


def sweep_folders(runs: Path) -> list[Path]:
    """Return the folders of all multiruns, the earliest first."""
    return sorted(p for p in (runs / "sweeps").glob("*") if p.is_dir())


def add_seed(variants: dict[str, Variant], label: str, folder: Path, run: dict[str, Any]) -> None:
    """Add the seed of ``run``, in ``folder``, to its variant; with other settings it replaces the earlier seeds."""
    settings = all_settings(folder)
    if label not in variants or variants[label].settings != settings:
        variants[label] = Variant(label, settings)
    variants[label].folders["/".join(str(run[k]) for k in SEEDS)] = folder


def finished_jobs(sweep: Path, stage: str = "evaluate", file: str = "metrics.json") -> list[dict[str, Any]]:
    """Return the jobs that finished ``stage``, which writes ``file``; print those whose folder is missing."""
    jobs = [read_json(p) for p in sorted(sweep.glob("job-*.json"))]
    jobs = [j for j in jobs if j["stage"] == stage]
    gone = [j["folder"] for j in jobs if not (Path(j["folder"]) / file).exists()]
    if gone:
        print(f"{sweep}: {len(gone)} of {len(jobs)} jobs left out, no longer there: {gone[0]} …", file=sys.stderr)
    return [j for j in jobs if j["folder"] not in gone]


def varied_keys(sweep: Path, overrides: list[list[str]]) -> list[str]:
    """Return the settings that a sweep varies, in the order they are written.

    First those that its file names, since an interrupted sweep may have only one value; then those with several values.
    """
    planned = sweep / "multirun.yaml"
    params = OmegaConf.select(OmegaConf.load(planned), "hydra.sweeper.params") if planned.exists() else None
    values: dict[str, set[str]] = defaultdict(set)
    for job in overrides:
        for override in job:
            key, _, value = override.partition("=")
            values[key].add(value)
    return list(dict.fromkeys([*(params or {}), *(key for key, seen in values.items() if len(seen) > 1)]))


def all_settings(folder: Path) -> dict[str, Any]:
    """Return the settings and versions of a stage and of all its inputs, without seeds."""

    def seedless(node: Any) -> Any:
        return {k: seedless(v) for k, v in node.items() if k not in SEEDS} if isinstance(node, dict) else node

    folders = {folder.parent.name: folder} | upstream_folders(folder)
    return {stage: seedless(read_json(f / "manifest.json")["config"]) for stage, f in folders.items()}


def summarise(name: tuple[str, ...], variants: dict[str, Variant]) -> dict[str, Any]:
    """Return the data of one sweep for tables and figures. The first variant is the reference."""
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
        "gallery": first["gallery"], "image": compare(photo, sku, RESAMPLES, 0),
        "views": by_stratum(photo, view_count_stratum(table["views"].to_numpy()), sku, RESAMPLES, 0),
        "siblings": metrics[0]["strata"]["sibling_style_in_gallery"], "latency": first["latency"],
        "sizes": mean_sizes([m["sizes"] for m in metrics]),
        "teacher": upstream_report(folders[0], "teacher", "report.json"),
        "proof": upstream_report(folders[0], "fingerprint", "proof.json"),
        "wall_seconds_all_stages": wall_seconds(folders[0]),
    }  # fmt: skip
    for kind in ("text", "rich_text"):
        if first.get(kind):
            texts, text_sku, _ = joined(folders, metrics, kind, f"ranks_{kind}.parquet")
            row[kind] = compare(texts, text_sku, RESAMPLES, 0)
    ours = next(m for m in photo if m.name == "fingerprint").values()
    keys = ["/".join(map(str, k)) for k in zip(*(table[c].to_pylist() for c in QUERY_KEY), strict=True)]
    row["values"] = {k: ours[k] for k in WITH_INTERVAL} | {"queries": keys, "sku": sku}
    return row


def joined(folders: list[Path], metrics: list[dict[str, Any]], kind: str, file: str) -> tuple[list[Method], Any, Any]:
    """Return the methods of all seeds with their ranks [seeds, Q], the queries' SKU numbers, and the first table."""
    tables, sku = aligned(folders, file)
    methods = []
    shared = [name for name in metrics[0][kind] if all(name in m[kind] for m in metrics)]  # not where no view joined
    for name in shared:
        row = metrics[0][kind][name]
        ranks = np.stack([t[f"rank_{name}"].to_numpy() for t in tables])
        methods.append(Method(name, ranks, row["vectors_per_sku"], row["bytes_per_sku"], row["search"], row["note"]))
    return methods, sku, tables[0]


def aligned(folders: list[Path], file: str) -> tuple[list[pa.Table], np.ndarray]:
    """Return every seed's table, all in one order of queries, and the queries' SKU numbers [Q]."""
    tables = [pq.read_table(folder / file) for folder in folders]
    keys = [c for c in (*QUERY_KEY, "text") if c in tables[0].column_names]
    tables = [t.sort_by([(c, "ascending") for c in keys]) for t in tables]
    if any(t.select(keys) != tables[0].select(keys) for t in tables):
        raise SystemExit(f"the seeds of one setting have different queries: {', '.join(map(str, folders))}")
    skus = ["/".join(map(str, k)) for k in zip(*(tables[0][c].to_pylist() for c in QUERY_KEY[:2]), strict=True)]
    return tables, np.unique(skus, return_inverse=True)[1]


def mean_sizes(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Average the points of the recall-against-bytes curve over seeds."""
    result = []
    for points in zip(*runs, strict=True):
        if "skipped" not in points[0]:
            keep = {k: points[0][k] for k in ("vectors", "dims", "kind", "bytes_per_sku")}
            result.append(keep | {k: float(np.mean([p[k] for p in points])) for k in WITH_INTERVAL})
    return result


def upstream_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of all stages that the stage in ``folder`` needs."""
    found: dict[str, Path] = {}
    for stage, key in read_json(folder / "manifest.json")["inputs"].items():
        for upstream in (folder.parent.parent / stage).glob(f"*-{key}"):
            found |= {stage: upstream} | upstream_folders(upstream)
    return found


def upstream_report(folder: Path, stage: str, file: str) -> dict[str, Any]:
    """Return a JSON file of an upstream stage; empty if there is none."""
    path = upstream_folders(folder)[stage] / file
    return read_json(path) if path.exists() else {}


def wall_seconds(folder: Path) -> int:
    """Return the total time of all stages of one evaluation."""
    every = [folder, *upstream_folders(folder).values()]
    return round(sum(read_json(f / "manifest.json")["wall_seconds"] for f in every))
