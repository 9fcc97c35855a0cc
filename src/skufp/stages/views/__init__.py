"""stage=views: generates candidate views, filters them, and writes shards, tables and a contact sheet."""

import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from skufp.artifacts.folder import read_json
from skufp.artifacts.views import read_views, write_views
from skufp.compute.device import device, set_threads
from skufp.compute.progress import ProgressBar
from skufp.errors import UserError, nearest
from skufp.output import warn
from skufp.schema import Config
from skufp.stages.views.basis import (
    THRESHOLDS,
    build_generators,
    calibrate_filter,
    catalogue_records,
    load_catalogue,
    load_judge,
    splits,
)  # fmt: skip
from skufp.stages.views.results import OUTCOME, SHARDS, finish

VERSION = 3
PARTS = "parts"


def check(cfg: Config) -> None:
    """Raise UserError for views=none and invalid settings; warn if the judge is the conditioning encoder."""
    from skufp.config import plain
    from skufp.generation.filter import FilterSettings
    from skufp.generation.request import AS_SOURCE

    if not cfg.views.generator:
        raise UserError(f"stage=views draws nothing with views={cfg.views.name}: write views=dit, classic or img2img")
    if cfg.views.take not in ("generated", "control"):
        raise UserError(f"views.take={cfg.views.take}: write generated, or control for classic views in their place")
    if cfg.views.rounds < 1 or cfg.views.mix.cap < 0 or cfg.stages.views.part_skus < 1:
        raise UserError("views.rounds and stages.views.part_skus must be 1 or more, views.mix.cap 0 or more")
    for name, condition in plain(cfg.views.actions).items():
        _check_condition(name, condition, [AS_SOURCE, *cfg.augmenter.actions])
    FilterSettings(**plain(cfg.views.filter))  # refuses invalid quantiles
    if plain(cfg.judge.encoder) == plain(cfg.model.encoder) and "augmenter" in cfg.views.made_from:
        warn(
            f"the judge is the encoder that the views were conditioned on ({cfg.model.name}), so its scores"
            " are too high. Choose another, e.g. judge=siglip_tiny or judge=lite"
        )


def _check_condition(name: str, condition: dict[str, Any], kinds: list[str]) -> None:
    """Raise UserError where a view condition has an unknown setting, kind of view or direction."""
    from skufp.generation.request import AS_SOURCE, TOWARD, ViewCondition

    _check_names(f"views.actions.{name}", condition, ViewCondition)
    if (like := condition.get("like", AS_SOURCE)) not in kinds:
        raise UserError(f"views.actions.{name}.like={like}: there is no such kind of view.{nearest(like, kinds)}")
    if (toward := condition.get("toward")) not in (None, *TOWARD):
        raise UserError(f"views.actions.{name}.toward={toward}: choose {' or '.join(TOWARD)}")
    if not 0 < condition.get("noise", 1.0) <= 1:
        raise UserError(f"views.actions.{name}.noise={condition['noise']}: give a number above 0, at most 1")


def _check_names(where: str, given: Any, schema: Any) -> None:
    known = [f.name for f in fields(schema) if f.name != "name"]
    for key in given:
        if key not in known:
            raise UserError(f"{where} has no setting '{key}'.{nearest(str(key), known)}")


@dataclass(frozen=True)
class Part:
    """SKUs of one split whose views are drawn and written together."""

    number: int
    split: str
    skus: list[str]


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write views.parquet, counterfactuals.parquet, shards/, thresholds.json, report.json and contact_sheet.html."""
    import torch

    set_threads(cfg)
    calibrate_filter(cfg, inputs, out)
    todo = [part for part in parts(cfg, inputs) if not _done(out, part).exists()]
    devices = _devices(cfg)
    if len(devices) > 1 and len(todo) > 1:
        plain_cfg = OmegaConf.to_yaml(cfg, resolve=True)
        torch.multiprocessing.spawn(_worker, (devices, plain_cfg, inputs, out), nprocs=len(devices))
    else:
        make_parts(cfg, inputs, out, todo, device(cfg))
    rows = [row for part in parts(cfg, inputs) for row in read_views(_done(out, part))]
    finish(cfg, inputs, out, rows)
    shutil.rmtree(out / PARTS)


def parts(cfg: Config, inputs: dict[str, Path]) -> list[Part]:
    """Divide every split's SKUs into parts, with siblings adjacent."""
    size = cfg.stages.views.part_skus
    found: list[Part] = []
    for split in splits(cfg, inputs["prepare"]):
        skus = list(dict.fromkeys(r.sku_id for r in catalogue_records(inputs["prepare"], split)))
        found += [Part(len(found) + i, split, skus[start : start + size])
                  for i, start in enumerate(range(0, len(skus), size))]  # fmt: skip
    return found


def _done(out: Path, part: Part) -> Path:
    """Return the path of a part's table; it is written last, so the part is complete if it exists."""
    return out / PARTS / f"{part.number:06d}.parquet"


def _devices(cfg: Config) -> list[int]:
    """Return the numbers of the devices that share the parts; on a CPU, of the processes."""
    chosen = cfg.trainer.devices
    return list(range(chosen)) if isinstance(chosen, int) else list(chosen)


def _worker(rank: int, devices: list[int], cfg_yaml: str, inputs: dict[str, Path], out: Path) -> None:
    """Make every ``len(devices)``-th unfinished part on one device, in a separate process."""
    import torch

    cfg: Any = OmegaConf.create(cfg_yaml)
    cfg.progress = cfg.progress and rank == 0
    place = torch.device("cuda", devices[rank]) if device(cfg).type == "cuda" else torch.device("cpu")
    world = len(devices)
    torch.set_num_threads(max(1, torch.get_num_threads() // world) if place.type == "cpu" else 1)
    own = [part for part in parts(cfg, inputs) if part.number % world == rank and not _done(out, part).exists()]
    make_parts(cfg, inputs, out, own, place)


def make_parts(cfg: Config, inputs: dict[str, Path], out: Path, todo: list[Part], place: Any) -> None:
    """Draw, judge and write parts one after the other; a finished part is not made again."""
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
            for name in sorted(names):  # also those without a picture, to replace files of a killed attempt
                own = [item for item in items if shard_name(item[0]) == name]
                write_view_shard(out / SHARDS, name, part.number, own)
            temporary = _done(out, part).with_suffix(".part")
            write_views(temporary, [row for row, _ in items])
            temporary.rename(_done(out, part))
            advance(len(part.skus))


def view_maker(cfg: Config, inputs: dict[str, Path], out: Path, place: Any) -> Any:
    """Return the ViewMaker that the settings describe."""
    from skufp.config import plain
    from skufp.data.view_kinds import ViewKinds
    from skufp.generation.filter import FilterSettings, Thresholds
    from skufp.generation.maker import ViewMaker
    from skufp.generation.request import ViewCondition

    generator, control = build_generators(cfg, inputs, place)
    return ViewMaker(
        inputs["prepare"], generator, control, load_judge(inputs, generator.size, place),
        Thresholds.from_dict(read_json(out / THRESHOLDS)), FilterSettings(**plain(cfg.views.filter)),
        [ViewCondition(name, **plain(values)) for name, values in cfg.views.actions.items()],
        ViewKinds(plain(cfg.augmenter.actions)), plain(cfg.views.mix), cfg.views.rounds, cfg.views.noise_step,
        cfg.stages.views.seed,
    )  # fmt: skip


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the report and where the contact sheet is."""
    from skufp.reports.views.tables import print_views_report

    print_views_report(read_json(folder / OUTCOME), console)
    console.print(f"source, kept and rejected views side by side: {folder / 'contact_sheet.html'}", style="dim")
