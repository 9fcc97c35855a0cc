"""The Weights & Biases dashboard of sweeps, written down offline and sent by one command.

python -m experiments.dashboard                                   writes experiments/dashboard.json
python -m experiments.dashboard --send --entity X [--project Y]   saves it as a new view of that project, prints its URL

Runs come there with logger=wandb logger.offline=false, or later by `wandb sync`. Its panels name only keys that
skufp.callbacks.wandb_evaluation and training log: a test holds them to it.
"""

import argparse
import hashlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import OmegaConf

from skufp.callbacks.wandb_evaluation import EXAMPLES, RECALL_BY_BYTES, RECALL_BY_CUTOFF, figure_key, table_key
from skufp.reports.teachers import BASES, WAYS
from skufp.retrieval.comparison import BASELINE, CEILING, OURS
from skufp.retrieval.evaluation.methods import LABELS

HERE = Path(__file__).resolve().parent
FILE = HERE / "dashboard.json"
LOGGER = OmegaConf.load(HERE.parent / "conf" / "logger" / "wandb.yaml")
MADE_WITH = "wandb-workspaces"
NAME = "skufp sweeps"
STEP = "trainer/global_step"  # Lightning's logger


def bars(title: str, figures: list[str], by: Any = "Group") -> Any:
    """Draw the mean and spread of figures over the runs of each sweep, or of each value of ``by``."""
    import wandb_workspaces.reports.v2 as wr

    return wr.BarPlot(
        title=title, metrics=figures, groupby=by, groupby_aggfunc="mean", groupby_rangefunc="stddev", orientation="h"
    )


def lines(title: str, keys: list[str], pattern: str | None = None) -> Any:
    """Draw what training logs, by step: ``keys``, or all keys that match ``pattern``."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(title=title, x=STEP, y=keys, metric_regex=pattern)


def chart(key: str, title: str, x: str, stroke: str) -> Any:
    """Draw a curve that an evaluation logs with its own table, over all shown runs."""
    import wandb_workspaces.reports.v2 as wr

    fields = {"x": x, "y": "recall", "stroke": stroke}
    chart = wr.CustomChart.from_table(f"{key}_table", chart_fields=fields, chart_strings={"title": title})
    chart.chart_name = "wandb/line/v0"
    return chart


def sections() -> dict[str, list[Any]]:
    """Return the panels under their headings."""
    import wandb_workspaces.reports.v2 as wr

    by_ablation, gain = wr.Config("run.ablation"), "minus_mean/mrr/mean"
    stand_ins = [f"teacher/reciprocal_rank/{name}" for name in (*WAYS, *BASES)]
    return {
        "Results": [
            bars("MRR by method, photo queries", [figure_key(m, "mrr") for m in LABELS]),
            bars("Recall@1 by method, photo queries", [figure_key(m, "recall@1") for m in LABELS]),
            bars("MRR by method, text queries", [figure_key(m, "mrr", "text") for m in LABELS]),
            bars("Fingerprint's MRR minus the mean's, by ablation", [figure_key(OURS, gain)], by_ablation),
            bars("Share of the gap closed in MRR, by ablation", [figure_key(OURS, "gap_closed/mrr/mean")], by_ablation),
            wr.ScatterPlot(
                title="Recall@1 by bytes per SKU, a point per run", log_x=True,
                x=wr.SummaryMetric(figure_key(OURS, "bytes_per_sku")), y=wr.SummaryMetric(figure_key(OURS, "recall@1")),
            ),
            chart(RECALL_BY_BYTES, "Recall@1 by bytes per SKU, smaller forms", "bytes_per_sku", "form"),
            chart(RECALL_BY_CUTOFF, "Recall@k by k", "k", "method"),
            wr.WeavePanelSummaryTable(table_name=table_key("image")),
        ],
        "Training": [
            lines("MRR on dev", ["val/mrr"]),
            lines("Recall@1 on dev", ["val/recall@1"]),
            lines("Losses", [], "^train/.*loss$"),
        ],
        "Teachers": [
            lines("Share of SKUs whose fingerprint is nearest to the best view", ["val/teacher_agreement"]),
            bars("The gap from mean to multi-vector in MRR", [figure_key(CEILING, gain)]),
            bars("MRR of train queries by what stands for the SKU", stand_ins),
            bars("Share of teachers that are not the first view", ["teacher/teacher_is_not_first_view"]),
            wr.WeavePanelSummaryTable(table_name=table_key("strata/views")),
        ],
        "Latency": [
            bars("One search, median (ms)", [figure_key(m, "search/p50_ms") for m in LABELS]),
            bars("One search, 95th percentile (ms)", [figure_key(m, "search/p95_ms") for m in LABELS]),
            bars("One photo through the encoder (ms)", ["latency/encode/p50_ms", "latency/encode/p95_ms"]),
            bars("Bytes per SKU", [figure_key(m, "bytes_per_sku") for m in (OURS, BASELINE, CEILING)]),
        ],
        "Examples": [
            wr.MediaBrowser(title="Queries and answers", media_keys=[EXAMPLES], gallery_axis="index", num_columns=1)
        ],
    }  # fmt: skip


def workspace(entity: str, project: str) -> Any:
    """Build the view: runs grouped by sweep, then ablation, so that the seeds of one stand together."""
    import wandb_workspaces.workspaces as ws

    shown = []
    for heading, panels in sections().items():
        for place, panel in enumerate(panels):
            panel._id = hashlib.sha256(f"{heading}/{place}".encode()).hexdigest()[:11]  # the library draws lots
        shown.append(ws.Section(name=heading, panels=panels, is_open=True))
    together = ws.RunsetSettings(groupby=[ws.Metric("Group"), ws.Config("run.ablation")])
    return ws.Workspace(entity=entity, project=project, name=NAME, sections=shown, runset_settings=together)


def definition(entity: str = "", project: str = "") -> dict[str, Any]:
    """Return the dashboard as JSON: what a server is sent, and what it was made with."""
    spec = workspace(entity, project)._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    return {"name": NAME, "made_with": f"{MADE_WITH} {version(MADE_WITH)}", "spec": json.loads(spec)}


def send(entity: str, project: str) -> str:
    """Save the dashboard as a new view and return its URL; ends with a line where that fails."""
    import wandb

    os.environ["WANDB_SILENT"] = "true"
    try:
        if not wandb.login(prompt=False):
            fail("not logged in to Weights & Biases: run `wandb login`, or set WANDB_API_KEY")
        return str(workspace(entity, project).save().url)
    except (wandb.errors.Error, OSError, ValueError) as error:
        fail(f"the dashboard was not sent to {entity}/{project}: {' '.join(str(error).split())}")


def fail(message: str) -> NoReturn:
    """Print one line and leave with exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Write the definition, or send it."""
    parser = argparse.ArgumentParser(description="The Weights & Biases dashboard of sweeps.")
    parser.add_argument("--send", action="store_true", help="save it on the server instead of writing dashboard.json")
    parser.add_argument("--entity", default=LOGGER.entity, help="user or team on Weights & Biases")
    parser.add_argument("--project", default=LOGGER.project, help="project with the runs (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.send and not arguments.entity:
        fail("--send needs --entity X, your user or team on Weights & Biases")
    try:
        import wandb_workspaces  # noqa: F401
    except ModuleNotFoundError:
        fail(f"the dashboard needs the package {MADE_WITH}: pip install 'skufp[dashboard]'")
    if arguments.send:
        print(send(arguments.entity, arguments.project))
    else:
        FILE.write_text(json.dumps(definition(), indent=1) + "\n", encoding="utf-8")
        print(FILE)


if __name__ == "__main__":
    main()
