"""The inputs of stage=views: judge, generators, the catalogue with the judge's features, and the thresholds."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.compute.device import device, in_batches
from skufp.schema import Config

SEEN, THRESHOLDS = "seen", "thresholds.json"
CALIBRATION = 512  # real views whose classic augmentations set the near-copy ceilings


def splits(cfg: Config, prepared: Path) -> list[str]:
    """Return the splits to draw views for: the training splits and the gallery."""
    names = dict.fromkeys(["train", "dev", *cfg.data.gallery])
    return [name for name in names if (prepared / f"{name}_image_text.jsonl").exists()]


def catalogue_records(prepared: Path, split: str) -> list[CropRecord]:
    """Return a split's catalogue crops, in the order of its JSONL."""
    return [r for r in read_records(prepared / f"{split}_image_text.jsonl") if r.domain == CATALOG]


def load_judge(inputs: dict[str, Path], size: int, place: Any) -> Any:
    """Return the Judge at a picture size of ``size`` pixels."""
    from skufp.generation.judge import Judge
    from skufp.modules.encoder_folder import load_encoder

    return Judge(load_encoder(inputs["judge"] / "encoder"), size, place)


def build_generators(cfg: Config, inputs: dict[str, Path], place: Any) -> tuple[Any, Any]:
    """Return the chosen generator and the classic generator of the controls, of the same picture size."""
    from skufp.config import build

    trained = {}
    if "augmenter" in inputs:
        trained = {"augmenter": str(inputs["augmenter"]), "encoder": str(inputs["retriever"] / "encoder")}
    generator = build(cfg.views.generator, **trained).to(place)
    return generator, build(cfg.views.control, size=generator.size)


def calibrate_filter(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Compute the judge's features of every real view, and the thresholds on train's; store both for resumed runs."""
    from skufp.config import plain
    from skufp.generation.calibration import calibrate
    from skufp.generation.filter import FilterSettings
    from skufp.generation.judge import joined

    if (out / THRESHOLDS).exists():
        return
    place = device(cfg)
    generator, control = build_generators(cfg, inputs, place)
    judge = load_judge(inputs, generator.size, place)
    (out / SEEN).mkdir(exist_ok=True)
    for split in splits(cfg, inputs["prepare"]):
        pictures = open_pictures(inputs["prepare"], catalogue_records(inputs["prepare"], split))
        looks = [judge.look(chunk) for chunk in in_batches(pictures, judge.batch_size)] or [judge.look([])]
        for name, array in vars(joined(looks)).items():
            np.save(out / SEEN / f"{split}-{name}.npy", array, allow_pickle=False)
    train = load_catalogue(inputs, out, splits(cfg, inputs["prepare"])[0])
    classic = classic_likeness(inputs["prepare"], train, control, judge, cfg.stages.views.seed)
    settings = FilterSettings(**plain(cfg.views.filter))
    write_json(out / THRESHOLDS, calibrate(train.real, classic, settings, cfg.stages.views.seed).to_dict())


def open_pictures(prepared: Path, records: list[CropRecord]) -> Iterator[np.ndarray]:
    """Return the crops of ``records``, RGB [H, W, 3] uint8."""
    from skufp.generation.pictures import open_crop

    return (open_crop(prepared / record.image_path) for record in records)


def load_catalogue(inputs: dict[str, Path], out: Path, split: str) -> Any:
    """Return a split's Catalogue with the judge's features."""
    from skufp.generation.filter import RealViews
    from skufp.generation.judge import Looks
    from skufp.generation.maker import Catalogue

    records = catalogue_records(inputs["prepare"], split)
    rows: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        rows.setdefault(record.sku_id, []).append(i)
    number = {sku: i for i, sku in enumerate(rows)}
    seen = {f.name: np.load(out / SEEN / f"{split}-{f.name}.npy", allow_pickle=False) for f in fields(Looks)}
    real = RealViews(
        **seen, sku=np.array([number[r.sku_id] for r in records]), pair=np.array([r.pair_id for r in records]),
        category=np.array([r.category_id for r in records]),
    )  # fmt: skip
    return Catalogue(split, records, real, list(rows), rows)


def classic_likeness(prepared: Path, catalogue: Any, control: Any, judge: Any, seed: int) -> Any:
    """Return the Likeness [A] of classic augmentations to their source, for randomly chosen real views."""
    from skufp.generation.judge import likeness
    from skufp.generation.maker import CLASSIC, stable_seed
    from skufp.generation.request import ViewRequest

    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(catalogue.records))[:CALIBRATION]
    records = [catalogue.records[i] for i in chosen]
    requests = [ViewRequest(picture, CLASSIC, "", 0.0, stable_seed(f"{seed}/classic/{r.split}/{r.view_id}"))
                for r, picture in zip(records, open_pictures(prepared, records), strict=True)]  # fmt: skip
    return likeness(judge.look(control.draw(requests)), catalogue.real.looks(chosen))
