"""The results of stage=views after all parts: the joined tables, the report, its figure and the contact sheet."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CropRecord
from skufp.artifacts.views import COUNTERFACTUAL, COUNTERFACTUAL_FILE, FILE, VIEW, ViewRow, read_views, write_views
from skufp.compute.device import device, in_batches
from skufp.schema import Config
from skufp.stages.views.basis import SEEN, THRESHOLDS, load_catalogue, load_judge, open_pictures, splits

SHARDS, OUTCOME = "shards", "report.json"
BLURRED = 512  # sources of kept views to blur, for the effect of blur alone


def finish(cfg: Config, inputs: dict[str, Path], out: Path, rows: list[ViewRow]) -> None:
    """Write the tables of ``rows``, index the shards, and write the report, its figure and the contact sheet."""
    from skufp.data.view_shards import write_view_index
    from skufp.generation.calibration import real_pairs
    from skufp.generation.judge import joined
    from skufp.reports.views.distances_plot import distances_plot
    from skufp.reports.views.report import view_distances, views_report

    write_views(out / FILE, [row for row in rows if row.kind != COUNTERFACTUAL])
    write_views(out / COUNTERFACTUAL_FILE, [row for row in rows if row.kind == COUNTERFACTUAL])
    write_view_index(out / SHARDS)
    catalogues = {split: load_catalogue(inputs, out, split) for split in splits(cfg, inputs["prepare"])}
    real_views = {(split, sku): len(own) for split, c in catalogues.items() for sku, own in c.rows.items()}
    pairs = {
        "blurred": blurred_sources(cfg, inputs, out, catalogues, rows),
        "real": joined([real_pairs(catalogue.real)[0] for catalogue in catalogues.values()]),
    }
    report = views_report(rows, real_views, pairs, planted(cfg, catalogues, out), train_losses(inputs))
    write_json(out / OUTCOME, report)
    distances_plot(out / "distances.png", view_distances(rows, pairs))
    contact_sheet(cfg, inputs, out, catalogues, report)
    shutil.rmtree(out / SEEN)


def blurred_sources(
    cfg: Config, inputs: dict[str, Path], out: Path, catalogues: dict[str, Any], rows: list[ViewRow]
) -> Any:
    """Return the Likeness of kept views' sources to their blurred copies, each source once.

    At most BLURRED sources, chosen at random. It measures the judge's distance for blur alone.
    """
    from skufp.data.view_shards import read_view_shards
    from skufp.generation.judge import Likeness, blurred, joined, likeness
    from skufp.generation.pictures import squared

    kept = sorted({(row.split, row.source_view) for row in rows if row.kind == VIEW and row.kept})
    if not kept:
        return Likeness(np.zeros(0), np.zeros(0))
    chosen = {kept[i] for i in np.random.default_rng(cfg.stages.views.seed).permutation(len(kept))[:BLURRED]}
    _, drawn = next(read_view_shards(sorted((out / SHARDS).glob("*.tar"))))
    judge = load_judge(inputs, len(drawn), device(cfg))  # the side of a drawn picture is the generator's size
    found = []
    for split, catalogue in catalogues.items():
        places = [i for i, record in enumerate(catalogue.records) if (split, record.view_id) in chosen]
        for part in in_batches(iter(places), judge.batch_size):
            pictures = open_pictures(inputs["prepare"], [catalogue.records[i] for i in part])
            looks = judge.look([blurred(squared(picture, judge.size)) for picture in pictures])
            found.append(likeness(looks, catalogue.real.looks(np.array(part))))
    return joined(found)


def planted(cfg: Config, catalogues: dict[str, Any], out: Path) -> dict[str, Any]:
    """Check the filter on real views of the last split, the gallery, which set no threshold."""
    from skufp.config import plain
    from skufp.generation.filter import FilterSettings, Thresholds
    from skufp.generation.planted import planted_check

    spec = cfg.stages.views
    thresholds = Thresholds.from_dict(read_json(out / THRESHOLDS))
    settings = FilterSettings(**plain(cfg.views.filter))
    real = list(catalogues.values())[-1].real
    return planted_check(real, thresholds, settings, np.random.default_rng(spec.seed), spec.planted)


def train_losses(inputs: dict[str, Path]) -> list[float]:
    """Return the augmenter's logged training losses, in order; none for another generator."""
    found: list[tuple[int, float]] = []
    folder = inputs.get("augmenter")
    for path in sorted(folder.glob("logs/attempt-*/metrics.csv")) if folder else []:
        with path.open(encoding="utf-8") as file:
            found += [(int(r["step"]), float(r["train/loss"])) for r in csv.DictReader(file) if r.get("train/loss")]
    return [loss for _, loss in sorted(found)]


def contact_sheet(
    cfg: Config, inputs: dict[str, Path], out: Path, catalogues: dict[str, Any], report: dict[str, Any]
) -> None:
    """Write contact_sheet.html of SKUs with high and low shares of kept views."""
    from skufp.data.view_shards import read_view_shards
    from skufp.reports.views.contact_sheet import SkuGroup, choose_skus, write_contact_sheet

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
