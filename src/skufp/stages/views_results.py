"""What stage=views leaves when all parts are made: the tables joined, the report, its figure and the contact sheet."""

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CropRecord
from skufp.artifacts.views import COUNTERFACTUAL, COUNTERFACTUAL_FILE, FILE, ViewRow, read_views, write_views
from skufp.stages.views_basis import SEEN, THRESHOLDS, load_catalogue, open_pictures, splits

SHARDS, OUTCOME = "shards", "report.json"


def finish(cfg: DictConfig, inputs: dict[str, Path], out: Path, rows: list[ViewRow]) -> None:
    """Write the tables of ``rows``, index the shards, and write the report, its figure and the contact sheet."""
    from skufp.data.view_shards import write_view_index
    from skufp.stages.views_report import distances_plot, view_distances, views_report

    write_views(out / FILE, [row for row in rows if row.kind != COUNTERFACTUAL])
    write_views(out / COUNTERFACTUAL_FILE, [row for row in rows if row.kind == COUNTERFACTUAL])
    write_view_index(out / SHARDS)
    catalogues = {split: load_catalogue(inputs, out, split) for split in splits(cfg, inputs["prepare"])}
    real_views = {(split, sku): len(own) for split, c in catalogues.items() for sku, own in c.rows.items()}
    real = real_pair_distances(catalogues.values())
    report = views_report(rows, real_views, real, planted(cfg, catalogues, out), train_losses(inputs))
    write_json(out / OUTCOME, report)
    distances_plot(out / "distances.png", view_distances(rows, real))
    contact_sheet(cfg, inputs, out, catalogues, report)
    shutil.rmtree(out / SEEN)


def real_pair_distances(catalogues: Iterable[Any]) -> np.ndarray:
    """Return the judge's distances between different real views of one SKU, every pair once."""
    distances = [np.zeros(0)]
    for catalogue in catalogues:
        for own in catalogue.rows.values():
            similarity = catalogue.real.vectors[own] @ catalogue.real.vectors[own].T
            distances.append(1 - similarity[np.triu_indices(len(own), 1)])
    return np.concatenate(distances)


def planted(cfg: DictConfig, catalogues: dict[str, Any], out: Path) -> dict[str, Any]:
    """Try the filter on real views of the last split, the one that is searched and that no threshold was set by."""
    from skufp.config import plain
    from skufp.generation.filter import FilterSettings, Thresholds
    from skufp.generation.planted import planted_check

    spec = cfg.stages.views
    thresholds = Thresholds.from_dict(read_json(out / THRESHOLDS))
    settings = FilterSettings(**plain(cfg.views.filter))
    real = list(catalogues.values())[-1].real
    return planted_check(real, thresholds, settings, np.random.default_rng(spec.seed), spec.planted)


def train_losses(inputs: dict[str, Path]) -> list[float]:
    """Return the augmenter's logged training losses, in order; none where another generator drew."""
    found: list[tuple[int, float]] = []
    folder = inputs.get("augmenter")
    for path in sorted(folder.glob("logs/attempt-*/metrics.csv")) if folder else []:
        with path.open(encoding="utf-8") as file:
            found += [(int(r["step"]), float(r["train/loss"])) for r in csv.DictReader(file) if r.get("train/loss")]
    return [loss for _, loss in sorted(found)]


def contact_sheet(
    cfg: DictConfig, inputs: dict[str, Path], out: Path, catalogues: dict[str, Any], report: dict[str, Any]
) -> None:
    """Write contact_sheet.html of SKUs of all degrees of success."""
    from skufp.data.view_shards import read_view_shards
    from skufp.generation.contact_sheet import SkuGroup, choose_skus, write_contact_sheet

    chosen = choose_skus(read_views(out / FILE), cfg.stages.views.sheet)
    made: dict[tuple[str, str], list[Any]] = {key: [] for key in chosen}
    for row, picture in read_view_shards(sorted((out / SHARDS).glob("*.tar"))):
        if row.sku in made:
            made[row.sku].append((row, picture))
    groups = []
    for split, sku in chosen:
        catalogue = catalogues[split]
        own = [catalogue.records[i] for i in catalogue.rows[sku]]
        toward = {row.toward_sku for row, _ in made[split, sku] if row.toward_sku}
        first = {other: catalogue.records[catalogue.rows[other][0]] for other in sorted(toward)}
        groups.append(SkuGroup(
            split, sku, _named_pictures(inputs["prepare"], {r.view_id: r for r in own}), made[split, sku],
            _named_pictures(inputs["prepare"], first),
        ))  # fmt: skip
    write_contact_sheet(out / "contact_sheet.html", groups, report)


def _named_pictures(prepared: Path, records: dict[str, CropRecord]) -> dict[str, np.ndarray]:
    return dict(zip(records, open_pictures(prepared, list(records.values())), strict=True))
