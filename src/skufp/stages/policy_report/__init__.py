"""stage=policy_report: the policy's gain, against every fixed action, chance and an oracle, and its cost.

Legend: Q queries, A actions (identity first).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from skufp.artifacts.actions import ActionLabels
from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError
from skufp.reports.policy.table import lines, tables
from skufp.schema import Config

VERSION = 1


@dataclass
class Outcome:
    """The labels of the queries and of their noisy twins, and the policy's choices.

    ``chosen`` [Q] are the policy's actions, ``predicted`` [Q, A] its gains (utility less ``price`` [A]).
    """

    labels: ActionLabels
    twins: ActionLabels
    chosen: np.ndarray
    predicted: np.ndarray
    price: np.ndarray

    @property
    def oracle(self) -> np.ndarray:
        """[Q]: the best action by the ranks of the twins."""
        from skufp.retrieval.choices import best_action

        return best_action(self.twins.ranks())

    @property
    def sku(self) -> np.ndarray:
        """[Q]: a number for each query's SKU."""
        return np.unique(self.labels.column("sku_id").astype(str), return_inverse=True)[1]

    def of_chosen(self, values: np.ndarray) -> np.ndarray:
        """Return [Q]: the ``values`` [Q, A] of the policy's actions."""
        return values[np.arange(len(values)), self.chosen]


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write report.json, ranks.parquet and report.html."""
    from skufp.compute.device import set_threads
    from skufp.data.decode import open_prepared
    from skufp.reports.policy.page import write_report
    from skufp.retrieval.choices import choices, compare_choices, confusion
    from skufp.serve.bundle import open_bundle
    from skufp.serve.engine import SearchEngine
    from skufp.serve.query_policy import LearntPolicy
    from skufp.stages.policy_report.examples import examples
    from skufp.stages.policy_report.latency import latency

    set_threads(cfg)
    policy = LearntPolicy.load(inputs["policy"], inputs["actions"], inputs["retriever"] / "encoder")
    spec = cfg.stages.policy_report
    engine = SearchEngine(open_bundle(inputs["bundle"]).parts, policy)
    outcome = decide(policy.network, *load_labels(cfg, inputs["actions"]))
    labels, ranks = outcome.labels, outcome.labels.ranks()
    compared = choices(labels.actions, ranks, outcome.twins.ranks(), outcome.chosen)
    timed = np.linspace(0, len(labels) - 1, min(int(spec.photos), len(labels))).astype(int)
    photos = [open_prepared(inputs["prepare"] / path) for path in labels.column("image_path")[timed]]
    report: dict[str, Any] = {
        "run": run_names(cfg),
        "actions": labels.actions,
        "queries": {
            "split": cfg.data.queries, "images": len(labels), "skus": len(np.unique(outcome.sku)),
            "gallery": len(engine.skus),
        },
        "policy": about(policy.network),
        "choices": compare_choices(compared, outcome.sku, int(spec.bootstrap), cfg.seed),
        "confusion": confusion(outcome.chosen, outcome.oracle, len(labels.actions)).tolist(),
        "latency": latency(engine, photos),
    }  # fmt: skip
    write_json(out / "report.json", report)
    write_ranks(out / "ranks.parquet", outcome, compared)
    write_report(cfg, out, report, outcome, examples(engine, outcome, inputs["prepare"], int(spec.examples)))


def run_names(cfg: Config) -> dict[str, Any]:
    """Return the names that identify this run."""
    choices = {part: str(getattr(cfg, part).name) for part in ("model", "aggregator", "index", "actions")}
    names = {"data": str(cfg.data.label)} | choices
    return names | {"seed": int(cfg.seed), "fingerprint_seed": int(cfg.fingerprint_seed)}


def load_labels(cfg: Config, folder: Path) -> tuple[ActionLabels, ActionLabels]:
    """Return the labels of the queries of data.queries and of their noisy twins, row by row."""
    labels = ActionLabels.load(folder)
    queries, twins = (labels.where(split=cfg.data.queries, twin=twin) for twin in (False, True))
    if not len(queries):
        raise UserError(
            f"split '{cfg.data.queries}' of data={cfg.data.name} has no user photos: nothing to measure.\n"
            "Mark rows of the manifest with domain=query, or go on to: python -m skufp --image photo.jpg policy=default"
        )
    if [queries.column(c).tolist() for c in ("sku_id", "view_id")] != [
        twins.column(c).tolist() for c in ("sku_id", "view_id")
    ]:
        raise RuntimeError(f"{folder}: the twins are not those of the queries of {cfg.data.queries}")
    return queries, twins


def decide(network: Any, labels: ActionLabels, twins: ActionLabels) -> Outcome:
    """Let the policy ``network`` decide on every query."""
    import torch

    network.check(actions=labels.actions, specs=labels.about.specs, features=labels.about.features)
    with torch.inference_mode():
        seen = torch.from_numpy(np.array(labels.vectors)), torch.from_numpy(np.array(labels.quality))
        chosen, gains = network.decide(*seen).numpy(), network.gains(*seen).numpy()
    return Outcome(labels, twins, chosen, gains, network.price.numpy())


def about(network: Any) -> dict[str, Any]:
    """Return the policy's threshold, None where it never acts, and prices."""
    threshold = float(network.threshold)
    prices = dict(zip(network.actions, map(float, network.price), strict=True))
    return {"threshold": threshold if np.isfinite(threshold) else None, "price": prices}


def write_ranks(path: Path, outcome: Outcome, compared: list[Any]) -> None:
    """Write every query's choices and ranks: enough for intervals over several runs."""
    labels, names = outcome.labels, np.array(outcome.labels.actions, object)
    columns = {c: labels.queries[c] for c in ("split", "sku_id", "view_id", "image_path")}
    picked = {"policy": names[outcome.chosen], "oracle": names[outcome.oracle]}
    picked["predicted_gain"] = outcome.of_chosen(outcome.predicted)
    ranks = {f"rank_{c.name}": c.ranks for c in compared if c.ranks.ndim == 1}
    pq.write_table(pa.table(columns | picked | ranks), path)


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the tables, the cost of identity, and where the report is."""
    report = read_json(folder / "report.json")
    console.print(*tables(report))
    for line in lines(report):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(f"report: {(folder / 'report.html').resolve()}", soft_wrap=True)
