"""The stage graph: finds the stages that a stage needs, and runs those that are not finished."""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from skufp.artifacts.folder import Manifest, building, find_folder, work_folder
from skufp.artifacts.records import safe_name
from skufp.compute.fit_processes import follow, launched
from skufp.config import of_stage, plain, setting
from skufp.errors import UserError, nearest
from skufp.output import styled
from skufp.outside import Outside
from skufp.schema import Config
from skufp.schema.settings import Settings
from skufp.stages.fit.process import take_part
from skufp.version import __version__

# Settings of a stage's own YAML that define the graph and not the computation.
WIRING = ("run", "needs", "uses", "outside", "label", "resume")


@dataclass(frozen=True)
class Planned:
    """One stage of a plan: its folder, its key and whether the folder is finished."""

    name: str
    key: str
    folder: Path
    inputs: dict[str, str]
    outside: dict[str, str]
    settings: dict[str, Any]
    done: bool


def execute(cfg: Config, console: Console) -> Path:
    """Run ``cfg.stage`` and its missing inputs; return its folder.

    With ``export_to``, the stage module's lay_out() copies the result there. Raises UserError for an unknown stage, for
    ``export_to`` with a stage without lay_out() and, with ``upstream=refuse``, for an unfinished input. If torchrun or
    SLURM started several processes, the first does this; the others only take part in its fits.
    """
    steps = plan(cfg)
    check_export(cfg)
    target = steps[-1]
    if (launch := launched()) is not None and launch.rank > 0:
        follow([(work_folder(step.folder), partial(is_finished, step)) for step in steps], take_part)
        return target.folder
    print_plan(steps, console)
    missing = [step for step in steps[:-1] if not step.done]
    if missing and cfg.upstream == "refuse":
        raise UserError(
            f"stage={target.name} needs stage={missing[0].name}, which is not done, and upstream=refuse.\n"
            f"Run first: python -m skufp stage={missing[-1].name} (with the same settings), or drop upstream=refuse"
        )
    for step in steps:
        if not step.done and hasattr(module := stage_module(cfg, step.name), "check"):
            module.check(cfg)
    for step in steps:
        if not step.done:
            run_stage(cfg, step, steps, console)
    module = stage_module(cfg, target.name)
    if hasattr(module, "show"):
        module.show(cfg, target.folder, console)
    if setting(cfg, "export_to"):
        inputs = {step.name: step.folder for step in steps}
        module.lay_out(cfg, inputs, target.folder, Path(str(cfg.export_to)), console)
    return target.folder


def check_export(cfg: Config) -> None:
    """Raise UserError for ``export_to`` with a stage without lay_out(), before anything runs."""
    if setting(cfg, "export_to") and not hasattr(stage_module(cfg, cfg.stage), "lay_out"):
        able = [f"stage={name}" for name in cfg.stages if hasattr(stage_module(cfg, name), "lay_out")]
        raise UserError(f"export_to={cfg.export_to}: stage={cfg.stage} lays nothing out; {', '.join(able)} can")


def plan(cfg: Config) -> list[Planned]:
    """Return the stages that ``cfg.stage`` needs, in running order, with itself last."""
    if cfg.stage not in cfg.stages:
        raise UserError(f"There is no stage '{cfg.stage}'.{nearest(cfg.stage, list(cfg.stages))}")
    planned: dict[str, Planned] = {}
    _visit(cfg, cfg.stage, planned, (), Outside.of(cfg))
    return list(planned.values())


def _visit(cfg: Config, name: str, planned: dict[str, Planned], path: tuple[str, ...], outside: Outside) -> None:
    if name in path:
        raise UserError(f"conf/stages: {' -> '.join([*path, name])} is a circle")
    spec = cfg.stages.get(name)
    if spec is None:
        raise UserError(f"conf/stages/{path[-1]}.yaml needs '{name}'.{nearest(name, list(cfg.stages))}")
    for needed in spec.needs:
        if needed not in planned:
            _visit(cfg, needed, planned, (*path, name), outside)
    planned[name] = _planned(cfg, name, spec, planned, outside)


def _planned(cfg: Config, name: str, spec: Settings, planned: Mapping[str, Planned], reader: Outside) -> Planned:
    module = stage_module(cfg, name)
    settings = {key: plain(setting(cfg, key)) for key in [*spec.uses, *also_uses(module, cfg, spec)]}
    settings["stage"] = {key: plain(spec[key]) for key in spec if key not in WIRING}
    settings["version"] = module.VERSION
    outside, settings = reader.read(spec.get("outside", []), settings)
    inputs = {needed: planned[needed].key for needed in spec.needs}
    identity = {"stage": name, "settings": settings, "inputs": inputs, "outside": outside}
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = find_folder(Path(cfg.runs) / name, safe_name(spec.label), key)
    planned_step = Planned(name, key, folder, inputs, outside, settings, done=False)
    return replace(planned_step, done=is_finished(planned_step))


def also_uses(module: ModuleType, cfg: Config, spec: Settings) -> list[str]:
    """Return the settings that change a stage's result only under these settings: see its module."""
    return list(module.also_uses(cfg, spec)) if hasattr(module, "also_uses") else []


def stage_module(cfg: Config, name: str) -> ModuleType:
    """Import the module that runs stage ``name``; stage modules import heavy packages only when they run."""
    module = importlib.import_module(cfg.stages[name].run)
    if not hasattr(module, "VERSION") or not hasattr(module, "run"):
        raise UserError(f"conf/stages/{name}.yaml: {cfg.stages[name].run} must define VERSION and run()")
    return module


def run_stage(cfg: Config, step: Planned, steps: list[Planned], console: Console) -> None:
    """Run one stage under its lock, so that parallel jobs do not build one folder twice."""
    step.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(step.folder.parent / f".{step.folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"{step.name}: another run is building {step.folder}; waiting for it", style="dim")
        lock.acquire()
    try:
        if is_finished(step):
            return
        console.rule(styled((step.name, "bold")), align="left")
        manifest = Manifest(
            stage=step.name, key=step.key, inputs=step.inputs, config=step.settings, outside=step.outside,
            code_version=__version__, stage_version=step.settings["version"], seed=cfg.seed,
        )  # fmt: skip
        inputs = {name: s.folder for s in steps if (name := s.name) in upstream(step, steps)}
        with building(step.folder, manifest, resume=bool(cfg.stages[step.name].get("resume", False))) as work:
            stage_module(cfg, step.name).run(of_stage(cfg, step.name), inputs, work)
        console.print(styled(("done", "green"), f" in {manifest.wall_seconds:.1f} s: {step.folder}"))
    finally:
        lock.release()


def is_finished(step: Planned) -> bool:
    """Return whether the stage's folder exists, is complete, and has the stage's key."""
    manifest = Manifest.read(step.folder)
    return manifest is not None and manifest.key == step.key


def upstream(step: Planned, steps: list[Planned]) -> set[str]:
    """Return the names of all stages that ``step`` needs, directly or indirectly."""
    found = set(step.inputs)
    for other in steps:
        if other.name in step.inputs:
            found |= upstream(other, steps)
    return found


def print_plan(steps: list[Planned], console: Console) -> None:
    """Print the plan: every stage, whether it is done, and its folder."""
    table = Table(title="Plan", title_justify="left", box=None, pad_edge=False)
    table.add_column("stage", style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("folder", overflow="fold", style="dim")
    for step in steps:
        state = ("done", "green") if step.done else ("to run", "yellow")
        table.add_row(step.name, styled(state), str(step.folder))
    console.print(table)
