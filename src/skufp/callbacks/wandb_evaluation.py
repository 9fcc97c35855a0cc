"""An evaluation on Weights & Biases: tables, curves, example queries, and metrics to compare the runs of a sweep.

The one file that imports wandb; training logs through Lightning's own logger (conf/logger/wandb.yaml). The keys:

- eval/<method>/<figure>: a single number of a photo search, by which the UI compares runs; eval_text/… of a text
  search, eval_rich_text/… of a search by labels. ``minus_mean/mrr/low`` is a figure too. Other numbers of metrics.json
  keep their path: latency/encode/p50_ms.
- table/image, table/text, table/rich_text: a row per method. table/strata/<by what>: a row per stratum and method.
- table/sizes: a row per form of index, with its measurements or, in ``skipped``, the reason for none.
- curve/…: recall@k by k, recall@1 by bytes per SKU.
- examples: pictures of a query, its true SKU, and the results.
"""

import base64
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from skufp.data.decode import decode_image
from skufp.data.thumbnail import thumbnail
from skufp.errors import UserError
from skufp.retrieval.metrics import CUTOFFS

KINDS = {"image": "eval", "text": "eval_text", "rich_text": "eval_rich_text"}
IN_TABLES = (*KINDS, "strata", "sizes")
EXAMPLES = "examples"
RECALL_BY_CUTOFF = "curve/recall_by_cutoff"
RECALL_BY_BYTES = "curve/recall_by_bytes"
TILE, GAP, LABEL = 168, 8, 18
RIGHT, PLAIN = "#2a9d8f", "white"


def figure_key(method: str, figure: str, kind: str = "image") -> str:
    """Return the key of a method's figure, as in ``eval/fingerprint/recall@1``."""
    return f"{KINDS[kind]}/{method}/{figure}"


def table_key(name: str) -> str:
    """Return the key of a table: ``image``, ``text``, ``sizes`` or ``strata/<stratum>``."""
    return f"table/{name}"


def log_evaluation(
    metrics: Mapping[str, Any], examples: list[dict[str, Any]], *, project: str, entity: str | None, group: str,
    name: str, run_id: str, config: Mapping[str, Any], offline: bool, folder: Path,
) -> None:  # fmt: skip
    """Log ``metrics`` (as in metrics.json) and ``examples`` (as stage=evaluate shows them) as one wandb run.

    ``run_id`` is the evaluation's key, so that logging it again replaces the run. ``folder`` gets wandb's files;
    offline they stay there until ``wandb sync``. Parts that ``metrics`` lacks are left out. Raises UserError where
    wandb cannot be reached or there is no login.
    """
    import wandb

    for earlier in folder.glob(f"wandb/offline-run-*-{run_id}"):
        shutil.rmtree(earlier)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # create_new: do not reuse the run that a training stage of this process may have open.
        with wandb.init(
            project=project, entity=entity, group=group, name=name, id=run_id, config=dict(config), job_type="evaluate",
            dir=str(folder.resolve()), mode="offline" if offline else "online", resume="allow", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        ) as run:  # fmt: skip
            run.log(figures(metrics) | _tables(metrics) | curves(metrics) | _pictures(examples))
    except wandb.errors.Error as error:
        raise UserError(
            f"Weights & Biases did not take the evaluation: {error}\nLog in with `wandb login`, or leave"
            " logger.offline=true and send later with `wandb sync`"
        ) from error


def flat(node: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts under their joined paths; None (not applicable) is left out."""
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{path}{key}/")
        elif value is not None:
            leaves[f"{path}{key}"] = value
    return leaves


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return every single number of ``metrics`` under its key, except those of strata and sizes."""
    found = flat({part: value for part, value in metrics.items() if part not in (*IN_TABLES, "run")})
    for kind in KINDS:
        for method, row in metrics.get(kind, {}).items():
            found |= {figure_key(method, figure, kind): value for figure, value in flat(row).items()}
    return {key: value for key, value in found.items() if isinstance(value, int | float)}


def rows(metrics: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every table by its name."""
    tables = {kind: [{"method": name} | flat(row) for name, row in metrics.get(kind, {}).items()] for kind in KINDS}
    for name, strata in metrics.get("strata", {}).items():
        tables[f"strata/{name}"] = [row for stratum, results in strata.items() for row in _stratum(stratum, results)]
    tables["sizes"] = [flat(size) for size in metrics.get("sizes", [])]
    return {name: table for name, table in tables.items() if table}


def _stratum(stratum: str, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per method; values common to all methods (the number of queries) are in each row."""
    shared = {key: value for key, value in results.items() if not isinstance(value, Mapping)}
    methods = {key: value for key, value in results.items() if isinstance(value, Mapping)}
    return [{"stratum": stratum, "method": name} | shared | flat(row) for name, row in methods.items()]


def columns(table: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of all rows in order of appearance, words last."""
    names = list(dict.fromkeys(key for row in table for key in row))
    return [n for n in names if n not in ("note", "skipped")] + [n for n in ("note", "skipped") if n in names]


def _table(table: list[dict[str, Any]]) -> Any:
    import wandb

    names = columns(table)
    return wandb.Table(columns=[*names], data=[[row.get(name) for name in names] for row in table])


def _tables(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {table_key(name): _table(table) for name, table in rows(metrics).items()}


def curves(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return charts with their tables, which the UI draws over all selected runs."""
    import wandb

    by_cutoff = [
        {"method": name, "k": k, "recall": row[f"recall@{k}"]}
        for name, row in metrics.get("image", {}).items() for k in CUTOFFS if f"recall@{k}" in row
    ]  # fmt: skip
    by_bytes = [
        {"form": f"{s['vectors']} {s['kind']}", "bytes_per_sku": s["bytes_per_sku"], "recall": s["recall@1"]}
        for s in metrics.get("sizes", []) if "recall@1" in s
    ]  # fmt: skip
    charts: dict[str, Any] = {}
    if by_cutoff:
        charts[RECALL_BY_CUTOFF] = wandb.plot.line(_table(by_cutoff), "k", "recall", "method", "Recall@k by k")
    if by_bytes:
        title = "Recall@1 by bytes per SKU"
        charts[RECALL_BY_BYTES] = wandb.plot.line(_table(by_bytes), "bytes_per_sku", "recall", "form", title)
    return charts


def _pictures(examples: list[dict[str, Any]]) -> dict[str, Any]:
    import wandb

    if not examples:
        return {}
    return {EXAMPLES: [wandb.Image(sheet(e), caption=caption(e), file_type="jpg") for e in examples]}


def caption(example: Mapping[str, Any]) -> str:
    """Return the true SKU, its rank and the results in words."""
    answers = ", ".join(answer["sku"] for answer in example["answers"])
    return f"rank {example['rank']}: {example['truth']['sku']}; answered {answers}"


def sheet(example: Mapping[str, Any]) -> Image.Image:
    """Draw the query, its true SKU, and the results in order; a correct result has a green frame."""
    tiles = [("query", example["query"], PLAIN), ("true SKU", example["truth"]["picture"], PLAIN)]
    for place, answer in enumerate(example["answers"], 1):
        tiles.append((f"answer {place}", answer["picture"], RIGHT if answer["right"] else PLAIN))
    page = Image.new("RGB", (GAP + len(tiles) * (TILE + GAP), TILE + 2 * GAP + LABEL), "white")
    draw = ImageDraw.Draw(page)
    for column, (title, uri, frame) in enumerate(tiles):
        left = GAP + column * (TILE + GAP)
        draw.rectangle((left - 4, GAP - 4, left + TILE + 3, GAP + TILE + 3), fill=frame)
        picture = thumbnail(decode(uri), TILE)
        page.paste(picture, (left + (TILE - picture.width) // 2, GAP + (TILE - picture.height) // 2))
        draw.text((left, GAP + TILE + 4), title, fill="black")
    return page


def decode(uri: str) -> Image.Image:
    """Return the picture in a data URI."""
    return decode_image(base64.b64decode(uri.partition(",")[2]), "an example's picture")
