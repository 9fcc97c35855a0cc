"""stage=actions: every query's rank under every action, the labels for the policy's training.

The queries are not in the retriever's training set: train's held-out queries, dev's and, for the report alone, those of
data.queries. Queries of dev and data.queries have noisy twins, by which an oracle chooses.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from skufp.artifacts.actions import ADAPT, IDENTITY, ActionLabels, ActionNames, answers_table
from skufp.artifacts.folder import read_json, write_json
from skufp.compute.device import set_threads
from skufp.errors import UserError
from skufp.reports.actions import print_report, summary
from skufp.schema import Config
from skufp.stages.actions.fold_galleries import galleries
from skufp.stages.actions.photos import DEV, PARTS, TRAIN, Stored, encode_parts, parts, select_queries

VERSION = 1
IDENTITY_TARGET = "skufp.actions.identity.Identity"


def check(cfg: Config) -> None:
    """Raise UserError for invalid actions or settings before anything runs."""
    from skufp.config import build

    spec = cfg.stages.actions
    if not isinstance(spec.folds, int) or spec.folds < 2:
        raise UserError(f"stages.actions.folds={spec.folds}: give 2 or more, so that scores are cross-fitted")
    if not all(isinstance(ridge, int | float) and ridge > 0 for ridge in spec.ridges):
        raise UserError(f"stages.actions.ridges={list(spec.ridges)}: give numbers above 0; no change is always tried")
    if spec.part_photos < 1:
        raise UserError(f"stages.actions.part_photos={spec.part_photos}: give 1 or more")
    if cfg.data.queries in (TRAIN, DEV):
        raise UserError(
            f"data.queries={cfg.data.queries}: the policy learns from train and dev, so its report needs another split,"
            " e.g. data.queries=validation"
        )
    for action in image_actions(cfg).values():
        build(action)


def image_actions(cfg: Config) -> dict[str, dict[str, Any]]:
    """Return the specs of the image actions by name: identity first, also if the settings leave it out."""
    from skufp.config import plain

    given = dict(plain(cfg.actions.actions))
    first = given.pop(IDENTITY, {"_target_": IDENTITY_TARGET})
    for name, spec in given.items():
        if not isinstance(spec, dict) or "_target_" not in spec:
            raise UserError(
                f"actions.actions.{name}={spec} names no class: write {{_target_: skufp.actions.<file>.<class>}}"
            )
    if first.get("_target_") != IDENTITY_TARGET:
        raise UserError(f"actions.actions.identity is {IDENTITY_TARGET}, always: give another action another name")
    if ADAPT in given:
        raise UserError("actions.actions.adapt: that is the residual on the query's vector; choose another name")
    return {IDENTITY: first, **given}


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write queries.parquet, vectors.npy, quality.npy, actions.parquet, actions.json, the adapter and report.json."""
    from skufp.actions.quality import FEATURES
    from skufp.modules.encoder_folder import encoder_marks
    from skufp.retrieval.answers import adapt, answer, choose_ridge, fit_across, fit_all
    from skufp.stages.fit import quiet

    quiet()
    set_threads(cfg)
    specs, queries = image_actions(cfg), select_queries(cfg, inputs["embed"])
    encode_parts(cfg, inputs, queries, specs, out)
    photos = Stored(out, parts(cfg, queries.num_rows))
    folds, others = galleries(cfg, inputs, queries, out)
    vectors = photos.under(0)
    ridge, tried = choose_ridge(folds, vectors, list(cfg.stages.actions.ridges))
    adapter = fit_all(folds, others[0], vectors, ridge)
    ranked, adapters = [*folds, *others], [*fit_across(folds, vectors, ridge), *(adapter for _ in others)]
    found = [answer(ranked, photos.under(number)) for number in range(len(specs))]
    found.append(answer(ranked, adapt(ranked, adapters, vectors)))
    rank, score, margin = (
        np.stack([getattr(one, name) for one in found], axis=1) for name in ("rank", "score", "margin")
    )
    names, mark = [*specs, ADAPT], encoder_marks(inputs["retriever"] / "encoder")["fingerprint"]
    about = ActionNames(names, specs, list(FEATURES), mark, ridge)
    labels = ActionLabels(queries, vectors, photos.quality(), answers_table(rank, score, margin, names), about)
    labels.save(out)
    adapter.save(out)
    write_json(out / "report.json", summary(labels, tried))
    shutil.rmtree(out / PARTS)


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the report and where the labels are."""
    print_report(read_json(folder / "report.json"), console)
    console.print(f"labels: {folder / 'actions.parquet'}", soft_wrap=True)
