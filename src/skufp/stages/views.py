"""stage=views: candidate views of every SKU that wants some, filtered, with their shards, table and contact sheet."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.artifacts.views import COUNTERFACTUAL, COUNTERFACTUAL_FILE, FILE, read_views, write_views
from skufp.errors import UserError, nearest
from skufp.stages.device import device, set_threads
from skufp.stages.progress import ProgressBar

VERSION = 1
PARTS, SHARDS, SEEN = "parts", "shards", "seen"
CALIBRATION = 512  # real views whose classic augmentations set the near-copy ceiling
OUTCOME = "report.json"


def check(cfg: DictConfig) -> None:
    """Refuse views=none and settings that mean nothing; warn where the judge is the model that conditions the views."""
    from skufp.config import plain
    from skufp.generation.filter import FilterSettings
    from skufp.generation.request import AS_SOURCE

    if not cfg.views.generator:
        raise UserError(f"stage=views draws nothing with views={cfg.views.name}: say views=dit, classic or img2img")
    if cfg.views.take not in ("generated", "control"):
        raise UserError(f"views.take={cfg.views.take}: write generated, or control for classic views in their place")
    if cfg.views.rounds < 1 or cfg.views.mix.cap < 0 or cfg.stages.views.part_skus < 1:
        raise UserError("views.rounds and stages.views.part_skus must be 1 or more, views.mix.cap 0 or more")
    for name, action in plain(cfg.views.actions).items():
        _check_action(name, action, [AS_SOURCE, *cfg.augmenter.actions])
    _check_names("views.filter", cfg.views.filter, FilterSettings)
    FilterSettings(**plain(cfg.views.filter))  # refuses quantiles that are none
    if plain(cfg.judge.encoder) == plain(cfg.model.encoder) and "augmenter" in cfg.views.made_from:
        Console(stderr=True, highlight=False).print(
            f"[yellow]warning:[/] the judge is the encoder that the views were conditioned on ({cfg.model.name}): it"
            " will find them better than they are. Choose another, e.g. judge=siglip_tiny or judge=lite"
        )


def _check_action(name: str, action: dict[str, Any], kinds: list[str]) -> None:
    """Refuse an action with a setting, a kind of view or a direction that there is not."""
    from skufp.generation.request import AS_SOURCE, TOWARD, Action

    _check_names(f"views.actions.{name}", action, Action)
    if (like := action.get("like", AS_SOURCE)) not in kinds:
        raise UserError(f"views.actions.{name}.like={like}: there is no such kind of view.{nearest(like, kinds)}")
    if (toward := action.get("toward")) not in (None, *TOWARD):
        raise UserError(f"views.actions.{name}.toward={toward}: choose {' or '.join(TOWARD)}")
    if not 0 < action.get("noise", 1.0) <= 1:
        raise UserError(f"views.actions.{name}.noise={action['noise']}: give a number above 0, at most 1")


def _check_names(where: str, given: Any, schema: Any) -> None:
    known = [f.name for f in fields(schema) if f.name != "name"]
    for key in given:
        if key not in known:
            raise UserError(f"{where} has no setting '{key}'.{nearest(str(key), known)}")


@dataclass(frozen=True)
class Part:
    """SKUs of one split that are made, and written, together."""

    number: int
    split: str
    skus: list[str]


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Write views.parquet, counterfactuals.parquet, shards/, thresholds.json, report.json and contact_sheet.html."""
    import torch

    set_threads(cfg)
    calibrate_filter(cfg, inputs, out)
    todo = [part for part in parts(cfg, inputs) if not _done(out, part).exists()]
    devices = _devices(cfg)
    if devices > 1 and len(todo) > 1:
        plain_cfg = OmegaConf.to_yaml(cfg, resolve=True)
        torch.multiprocessing.spawn(_worker, (devices, plain_cfg, inputs, out), nprocs=devices)
    else:
        make_parts(cfg, inputs, out, todo, device(cfg))
    finish(cfg, inputs, out)


def splits(cfg: DictConfig, prepared: Path) -> list[str]:
    """Return the splits that want views: what is trained on, and what is searched."""
    names = dict.fromkeys(["train", "dev", *cfg.data.gallery])
    return [name for name in names if (prepared / f"{name}_image_text.jsonl").exists()]


def catalogue_records(prepared: Path, split: str) -> list[CropRecord]:
    """Return a split's catalogue crops, in the order of its JSONL."""
    return [r for r in read_records(prepared / f"{split}_image_text.jsonl") if r.domain == CATALOG]


def parts(cfg: DictConfig, inputs: dict[str, Path]) -> list[Part]:
    """Deal every split's SKUs into parts, siblings side by side."""
    size = cfg.stages.views.part_skus
    found: list[Part] = []
    for split in splits(cfg, inputs["prepare"]):
        skus = list(dict.fromkeys(r.sku_id for r in catalogue_records(inputs["prepare"], split)))
        found += [Part(len(found) + i, split, skus[start : start + size])
                  for i, start in enumerate(range(0, len(skus), size))]  # fmt: skip
    return found


def _done(out: Path, part: Part) -> Path:
    """Name a part's table: it is written last, so where it exists the part is whole."""
    return out / PARTS / f"{part.number:06d}.parquet"


def _devices(cfg: DictConfig) -> int:
    import torch

    wanted = cfg.trainer.devices
    if wanted in (-1, "-1", "auto"):
        return max(1, torch.cuda.device_count() if device(cfg).type == "cuda" else 1)
    return int(wanted) if isinstance(wanted, int) else len(wanted)


def _worker(rank: int, world: int, cfg_yaml: str, inputs: dict[str, Path], out: Path) -> None:
    """Make every ``world``-th unfinished part on device ``rank``; a process of its own."""
    import torch

    cfg: Any = OmegaConf.create(cfg_yaml)
    cfg.progress = cfg.progress and rank == 0
    place = torch.device("cuda", rank) if device(cfg).type == "cuda" else torch.device("cpu")
    torch.set_num_threads(max(1, torch.get_num_threads() // world) if place.type == "cpu" else 1)
    own = [part for part in parts(cfg, inputs) if part.number % world == rank and not _done(out, part).exists()]
    make_parts(cfg, inputs, out, own, place)


def load_judge(inputs: dict[str, Path], size: int, place: Any) -> Any:
    """Return the Judge that sees all pictures at ``size`` pixels."""
    from skufp.generation.judge import Judge
    from skufp.modules.encoder_folder import load_encoder

    return Judge(load_encoder(inputs["judge"] / "encoder"), size, place)


def build_generators(cfg: DictConfig, inputs: dict[str, Path], place: Any) -> tuple[Any, Any]:
    """Return the chosen generator and the classic one of the controls, of the same picture size."""
    from skufp.config import build

    trained = {}
    if "augmenter" in inputs:
        trained = {"augmenter": str(inputs["augmenter"]), "encoder": str(inputs["retriever"] / "encoder")}
    generator = build(cfg.views.generator, **trained).to(place)
    return generator, build(cfg.views.control, size=generator.size)


def calibrate_filter(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Let the judge see every real view, and set the thresholds by train's; both are kept for resumed runs."""
    from skufp.config import plain
    from skufp.generation.calibration import calibrate
    from skufp.generation.filter import FilterSettings

    if (out / "thresholds.json").exists():
        return
    place = device(cfg)
    generator, control = build_generators(cfg, inputs, place)
    judge = load_judge(inputs, generator.size, place)
    (out / SEEN).mkdir(exist_ok=True)
    for split in splits(cfg, inputs["prepare"]):
        pictures = _pictures(inputs["prepare"], catalogue_records(inputs["prepare"], split))
        looks = [judge.look(list(chunk)) for chunk in _chunks(pictures, judge.batch_size)] or [judge.look([])]
        np.save(out / SEEN / f"{split}-vectors.npy", np.concatenate([x.vectors for x in looks]), allow_pickle=False)
        np.save(out / SEEN / f"{split}-colours.npy", np.concatenate([x.colours for x in looks]), allow_pickle=False)
    train = load_catalogue(inputs, out, splits(cfg, inputs["prepare"])[0])
    classic = classic_similarity(inputs["prepare"], train, control, judge, cfg.stages.views.seed)
    settings = FilterSettings(**plain(cfg.views.filter))
    write_json(out / "thresholds.json", calibrate(train.real, classic, settings, cfg.stages.views.seed).to_dict())


def _pictures(prepared: Path, records: list[CropRecord]) -> Iterator[np.ndarray]:
    from PIL import Image

    for record in records:
        with Image.open(prepared / record.image_path) as image:
            yield np.asarray(image.convert("RGB"))


def _chunks(items: Iterator[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, ...]]:
    from itertools import islice

    while chunk := tuple(islice(items, size)):
        yield chunk


def load_catalogue(inputs: dict[str, Path], out: Path, split: str) -> Any:
    """Return a split's Catalogue with what the judge saw of it."""
    from skufp.generation.filter import RealViews
    from skufp.generation.maker import Catalogue

    records = catalogue_records(inputs["prepare"], split)
    rows: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        rows.setdefault(record.sku_id, []).append(i)
    number = {sku: i for i, sku in enumerate(rows)}
    vectors, colours = (np.load(out / SEEN / f"{split}-{name}.npy", allow_pickle=False)
                        for name in ("vectors", "colours"))  # fmt: skip
    real = RealViews(
        vectors, colours, np.array([number[r.sku_id] for r in records]), np.array([r.pair_id for r in records]),
        np.array([r.category_id for r in records]),
    )  # fmt: skip
    return Catalogue(split, records, real, list(rows), rows)


def classic_similarity(prepared: Path, catalogue: Any, control: Any, judge: Any, seed: int) -> np.ndarray:
    """Return [M] similarities of classic augmentations to their source, of real views chosen by chance."""
    from skufp.generation.maker import CLASSIC, stable_seed
    from skufp.generation.request import ViewRequest

    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(catalogue.records))[:CALIBRATION]
    records = [catalogue.records[i] for i in chosen]
    requests = [ViewRequest(picture, CLASSIC, "", 0.0, stable_seed(f"{seed}/classic/{r.split}/{r.view_id}"))
                for r, picture in zip(records, _pictures(prepared, records), strict=True)]  # fmt: skip
    looks = judge.look(control.draw(requests))
    return np.asarray((looks.vectors * catalogue.real.vectors[chosen]).sum(axis=1))


def make_parts(cfg: DictConfig, inputs: dict[str, Path], out: Path, todo: list[Part], place: Any) -> None:
    """Draw, judge and write parts one after the other; a finished part is never made again."""
    from skufp.data.view_shards import KEPT_IN, REJECTED, shard_name, write_view_shard

    if not todo:
        return
    maker = view_maker(cfg, inputs, out, place)
    (out / PARTS).mkdir(exist_ok=True)
    catalogues: dict[str, Any] = {}
    with ProgressBar(cfg, "drawing views", sum(len(part.skus) for part in todo)) as advance:
        for part in todo:
            if part.split not in catalogues:
                catalogues = {part.split: load_catalogue(inputs, out, part.split)}
            items = maker.part(catalogues[part.split], part.skus, part.number)
            names = {f"{part.split}-{kind}" for kind in (*KEPT_IN.values(), REJECTED)}
            for name in sorted(names):  # also those without a picture: what a killed attempt left is replaced
                own = [item for item in items if shard_name(item[0]) == name]
                write_view_shard(out / SHARDS, name, part.number, own)
            temporary = _done(out, part).with_suffix(".part")
            write_views(temporary, [row for row, _ in items])
            temporary.rename(_done(out, part))
            advance(len(part.skus))


def view_maker(cfg: DictConfig, inputs: dict[str, Path], out: Path, place: Any) -> Any:
    """Return the ViewMaker that the settings describe."""
    from skufp.config import plain
    from skufp.data.view_actions import ViewActions
    from skufp.generation.filter import FilterSettings, Thresholds
    from skufp.generation.maker import ViewMaker
    from skufp.generation.request import Action

    generator, control = build_generators(cfg, inputs, place)
    return ViewMaker(
        inputs["prepare"], generator, control, load_judge(inputs, generator.size, place),
        Thresholds.from_dict(read_json(out / "thresholds.json")), FilterSettings(**plain(cfg.views.filter)),
        [Action(name, **plain(values)) for name, values in cfg.views.actions.items()],
        ViewActions(plain(cfg.augmenter.actions)), plain(cfg.views.mix), cfg.views.rounds, cfg.views.noise_step,
        cfg.stages.views.seed,
    )  # fmt: skip


def finish(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Join the parts' tables, index the shards, and write the report, its figure and the contact sheet."""
    import shutil

    from skufp.data.view_shards import write_view_index
    from skufp.stages.views_report import distances_plot, view_distances, views_report

    rows = [row for part in parts(cfg, inputs) for row in read_views(_done(out, part))]
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
    shutil.rmtree(out / PARTS)


def real_pair_distances(catalogues: Any) -> np.ndarray:
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
    thresholds = Thresholds.from_dict(read_json(out / "thresholds.json"))
    settings = FilterSettings(**plain(cfg.views.filter))
    real = list(catalogues.values())[-1].real
    return planted_check(real, thresholds, settings, np.random.default_rng(spec.seed), spec.planted)


def train_losses(inputs: dict[str, Path]) -> list[float]:
    """Return the augmenter's logged training losses, in order; none where another generator drew."""
    import csv

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
    return dict(zip(records, _pictures(prepared, list(records.values())), strict=True))


def show(cfg: DictConfig, folder: Path, console: Console) -> None:
    """Print the report and where the contact sheet is."""
    from skufp.stages.views_report import print_views_report

    print_views_report(read_json(folder / OUTCOME), console)
    console.print(f"source, kept and rejected views side by side: {folder / 'contact_sheet.html'}", style="dim")
