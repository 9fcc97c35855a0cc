"""The query action policy's results: reports joined over the seeds of a sweep.

Values are averaged over seeds query by query, then SKUs are resampled. Legend: Q queries, A actions (identity first).
"""

import re
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from experiments import collect
from skufp.artifacts.actions import ADAPT
from skufp.retrieval.bootstrap import interval
from skufp.retrieval.choices import IDENTITY, ORACLE, POLICY, RANDOM, Choice, compare_choices

NAMED_APART = {*collect.SEEDS, "data", "data.queries", "model", "stage"}
NO_MATTER = {
    "judge", "data.label", "data.root", "runs", "upstream", "workers", "threads", "progress", "trainer", "logger",
    "policy",
}  # fmt: skip
NO_MATTER_BELOW = ("hydra.", "logger.", "query.", "stages.policy_report.")
FROZEN = {"model.training.steps=0": "frozen (training.steps 0)"}
Row = dict[str, Any]


def policies(runs: Path) -> dict[tuple[str, ...], dict[str, collect.Variant]]:
    """Return {(data, model, query split): {difference from the default: variant}} over all sweeps.

    Of a setting that ran twice the latest run counts, as in collect.sweeps.
    """
    found: dict[tuple[str, ...], dict[str, collect.Variant]] = defaultdict(dict)
    for sweep in collect.sweep_folders(runs):
        for job in collect.finished_jobs(sweep, "policy_report", "report.json"):
            folder = Path(job["folder"])
            run, asked = (collect.read_json(folder / "report.json")[k] for k in ("run", "queries"))
            name = (collect.data_of(job, run), run["model"], asked["split"])
            collect.add_seed(found[name], differing(job["overrides"]), folder, run)
    return dict(found)


def differing(overrides: list[str]) -> str:
    """Name the settings that were given beside data, model and seeds, the model's first; empty if none was."""
    given = dict(o.lstrip("+").partition("=")[::2] for o in overrides)
    kept = [k for k in given if k not in NAMED_APART | NO_MATTER and not k.startswith(NO_MATTER_BELOW)]
    settings = [f"{k}={given[k]}" for k in sorted(kept, key=lambda k: (not k.startswith("model."), k))]
    return ", ".join(FROZEN.get(setting, setting) for setting in settings)


def file_name(name: tuple[str, ...], label: str) -> str:
    """Return what the summary of one setting is called: settings that differ do not overwrite one another."""
    return collect.file_name("policy", *name, *re.findall(r"[\w.]+", label))


def summarise(name: tuple[str, ...], variant: collect.Variant) -> Row:
    """Return the data of one setting for tables and sentences."""
    data, model, split = name
    about = {"sweep": "policy", "data": data, "model": model, "split": split, "differs": variant.label}
    return about | {"query_policy": joined(list(variant.folders.values()))}


def joined(folders: list[Path]) -> Row:
    """Return every choice's figures over the seeds in ``folders``, the policy's differences, choices, cost and labels.

    ``best_image`` is the image action with the highest MRR if always taken, selected on the queries that score it.
    """
    reports = [collect.read_json(folder / "report.json") for folder in folders]
    tables, sku = collect.aligned(folders, "ranks.parquet")
    actions: list[str] = reports[0]["actions"]
    seeds = [choices_of_seed(table, actions) for table in tables]
    choices = {c.name: c for c in map(over_seeds, zip(*seeds, strict=True))}
    rows = compare_choices(list(choices.values()), sku, collect.RESAMPLES, 0)
    means = [{c.name: float(c.values()["mrr"].mean()) for c in seed} for seed in seeds]
    for number, (name, row) in enumerate(rows.items()):
        row["seeds"] = [of[name] - of[IDENTITY] for of in means]
        row["acted_seeds"] = [seed[number].acted for seed in seeds]
    image = [name for name in actions if name not in (IDENTITY, ADAPT)]
    best = max(image, key=lambda name: rows[name]["mrr"], default=None)
    mrr = {name: choice.values()["mrr"] for name, choice in choices.items()}
    labels = [collect.upstream_report(folder, "actions", "report.json") for folder in folders]
    return {
        "seeds": len(folders), "queries": reports[0]["queries"], "actions": actions, "best_image": best,
        "choices": rows,
        "policy_minus": {
            name: asdict(interval(mrr[POLICY] - mrr[name], sku, collect.RESAMPLES))
            for name in (best, ADAPT) if name in mrr
        },
        "chosen": {
            who: {name: [table[who].to_pylist().count(name) for table in tables] for name in actions}
            for who in (POLICY, ORACLE)
        },
        "threshold": [report["policy"]["threshold"] for report in reports],
        "latency": {
            "photo": reports[0]["latency"]["size"],
            **{part: [report["latency"]["share"][part] for report in reports] for part in ("siglip_encode", "encode")},
        },
        "labels": {split: [of["queries"][split] for of in labels] for split in ("train", "dev")},
        "ridge": [of["ridge"] for of in labels],
    }  # fmt: skip


def choices_of_seed(table: pa.Table, actions: list[str]) -> list[Choice]:
    """Return one seed's choices: each fixed action, a random one, the policy's and the oracle's."""
    ranks = {name: table[f"rank_{name}"].to_numpy() for name in (*actions, POLICY, ORACLE)}
    acted = {
        name: float(np.mean([action != IDENTITY for action in table[name].to_pylist()])) for name in (POLICY, ORACLE)
    }
    return [
        *(Choice(name, ranks[name], float(name != IDENTITY)) for name in actions),
        Choice(RANDOM, np.stack([ranks[name] for name in actions]), 1 - 1 / len(actions)),
        *(Choice(name, ranks[name], acted[name]) for name in (POLICY, ORACLE)),
    ]


def over_seeds(seeds: tuple[Choice, ...]) -> Choice:
    """Join one choice's seeds: a Choice averages over the rows of its ranks, here seeds (times actions)."""
    ranks = np.concatenate([np.atleast_2d(choice.ranks) for choice in seeds])
    return Choice(seeds[0].name, ranks, float(np.mean([choice.acted for choice in seeds])))
