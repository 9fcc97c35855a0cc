"""All training stages: the stage's YAML says which module, data and callbacks."""

import copy
import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.errors import UserError, nearest
from skufp.stages.processes import JOB, launched, process_count, together
from skufp.stages.progress import worker_count

VERSION = 4
KEEP = ("last", "best", "proven")
WATCH = "val/mrr"  # what keep=best goes by
CHECKPOINTS, START = "checkpoints", "start.pt"


def check(cfg: DictConfig) -> None:
    """Refuse a ``keep``, a number of folds or a kind of text that means nothing, before anything runs."""
    from skufp.data.captions import TEXTS

    if cfg.data.text not in TEXTS:
        raise UserError(f"data.text={cfg.data.text}: there is no such choice.{nearest(str(cfg.data.text), TEXTS)}")
    for name, spec in cfg.stages.items():
        if spec.run == __name__ and spec.keep not in KEEP:
            raise UserError(f"stages.{name}.keep={spec.keep}: there is no such choice.{nearest(spec.keep, KEEP)}")
        if spec.run == __name__ and spec.keep == "proven" and "folds" not in spec:
            raise UserError(f"stages.{name}.keep=proven: only fingerprints are proven; write best or last")
        if spec.run == __name__ and (not isinstance(folds := spec.get("folds", 0), int) or folds < 0 or folds == 1):
            raise UserError(f"stages.{name}.folds={folds}: give 2 or more, or 0 to ask dev queries alone")


def also_uses(spec: DictConfig) -> list[str]:
    """Return what else changes the result: best weights can be kept only where dev queries were looked at."""
    return ["trainer.checks"] if spec.keep == "best" else []


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Train, keep weights as best.ckpt, write metrics.json and the stage's own artefact.

    ``keep``: last, the last weights; best, those that ranked dev queries best; proven, the last if they are proven
    better than the start, else the start. Where several processes train together (trainer.devices), this is the first
    of them; the others take part in the fit alone.
    """
    import torch

    from skufp.config import locate
    from skufp.modules.optimiser import raise_if_diverged
    from skufp.stages.proof import is_proven

    folders = {name: str(path) for name, path in inputs.items()}
    spec, data, module = assemble(cfg, folders)
    data.attach(module)
    trains = spec["steps"] > 0 and data.can_train and any(p.requires_grad for p in module.parameters())
    resume = newest_checkpoint(out / CHECKPOINTS)
    if data.can_train and hasattr(module, "initialise") and resume is None:
        module.initialise(data.first_batches())
    start = copy.deepcopy(module) if spec["keep"] == "proven" else None
    logger = _logger(cfg, out)
    steps_done = 0
    if trains:
        trainer, best = fit(cfg, spec, module, data, folders, out, resume, logger)
        steps_done = trainer.global_step
        raise_if_diverged(module)
        if best is not None and best.best_model_path:
            module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        if start is not None and not is_proven(cfg, folders, start, module, data, out):
            module.load_state_dict(start.state_dict())
    alone = make_trainer(cfg, spec, data, out, logger, processes=1)
    alone.strategy.connect(module.eval())
    alone.save_checkpoint(out / "best.ckpt", weights_only=True)
    metrics = _validate(alone, module, data)
    write_json(out / "metrics.json", {"steps": steps_done, **metrics})
    locate(spec["export"])(module.eval(), data, out)
    for folder in (CHECKPOINTS, JOB):
        shutil.rmtree(out / folder, ignore_errors=True)
    _finish_logging(alone)


def assemble(cfg: DictConfig, inputs: Mapping[str, str]) -> tuple[dict[str, Any], Any, Any]:
    """Return the settings of the stage, its DataModule and its module, the same in every process."""
    import pytorch_lightning as pl

    from skufp.config import build, plain
    from skufp.stages.device import set_threads

    quiet()
    set_threads(cfg)
    spec = plain(cfg.stages[cfg.stage])
    pl.seed_everything(spec["seed"], verbose=False)
    workers = -(-worker_count(cfg) // process_count(cfg))
    data = build(spec["datamodule"], inputs=dict(inputs), steps=spec["steps"], workers=workers)
    return spec, data, build(spec["module"], steps=spec["steps"], **data.module_arguments())


def fit(
    cfg: DictConfig, spec: dict[str, Any], module: Any, data: Any, inputs: Mapping[str, str], out: Path,
    resume: Path | None, logger: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """Fit ``module``, together with other processes where there are several.

    Return the Trainer and the callback that kept the best weights, None without one.
    """
    import torch

    processes = process_count(cfg)
    if processes == 1:
        return _fit(make_trainer(cfg, spec, data, out, logger), module, data, resume)
    folder, threads = out / JOB, torch.get_num_threads()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    torch.set_num_threads(-(-threads // processes))
    torch.save(module.state_dict(), folder / START)
    with together(cfg, inputs, out, resume):
        fitted = _fit(make_trainer(cfg, spec, data, out, logger, processes), module, data, resume)
        torch.distributed.destroy_process_group()
    torch.set_num_threads(threads)
    module.cpu()
    return fitted


def take_part(cfg: DictConfig, inputs: Mapping[str, str], folder: Path, resume: Path | None) -> None:
    """Be one of the other processes of fit(): the same module on a share of every batch; write nothing."""
    import torch

    spec, data, module = assemble(cfg, inputs)
    torch.set_num_threads(-(-torch.get_num_threads() // process_count(cfg)))
    data.attach(module)
    module.load_state_dict(torch.load(folder / START, weights_only=True))
    trainer = make_trainer(cfg, spec, data, folder, logger=False, processes=process_count(cfg))
    _fit(trainer, module, data, resume)
    torch.distributed.destroy_process_group()


def _fit(trainer: Any, module: Any, data: Any, resume: Path | None) -> tuple[Any, Any]:
    trainer.fit(module, data, ckpt_path=str(resume) if resume else None, weights_only=True)
    if trainer.interrupted or trainer.state.status == "interrupted":  # Ctrl-C ends fit() quietly: not done
        raise KeyboardInterrupt
    return trainer, next((c for c in trainer.checkpoint_callbacks if c.monitor == WATCH), None)


def make_trainer(cfg: DictConfig, spec: dict[str, Any], data: Any, out: Path, logger: Any, processes: int = 1) -> Any:
    """Return the Trainer of this process, one of ``processes``."""
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import EMAWeightAveraging, TQDMProgressBar

    from skufp.callbacks.random_state import RandomState
    from skufp.config import build

    every = max(1, spec["steps"] // cfg.trainer.checks)
    averaging = [EMAWeightAveraging(decay=spec["ema"])] if spec["ema"] > 0 else []
    callbacks = [*averaging, *(build(c) for c in spec["callbacks"].values()), RandomState()]  # averages before all else
    callbacks += checkpoints(out / CHECKPOINTS, every, spec["keep"], data.has_dev_queries)
    first = (launch := launched()) is None or launch.rank == 0
    if cfg.progress and logger is not False and first:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    return pl.Trainer(
        accelerator=cfg.trainer.accelerator, precision=cfg.trainer.precision, max_steps=spec["steps"],
        val_check_interval=every, limit_val_batches=1.0 if data.has_dev_queries else 0, num_sanity_val_steps=0,
        callbacks=callbacks, default_root_dir=out, logger=logger, use_distributed_sampler=False,
        enable_progress_bar=bool(cfg.progress), enable_model_summary=False, log_every_n_steps=10,
        gradient_clip_val=spec["clip"], **placement(cfg, processes),
    )  # fmt: skip


def placement(cfg: DictConfig, processes: int) -> dict[str, Any]:
    """Return the Trainer's devices and strategy for ``processes`` that train together.

    Parameters that a share of the batch does not use, such as the text tower's where no photo of it has text, are
    looked for at every step, unless trainer.strategy says not to. Buffers are the same everywhere and are not sent.
    """
    from pytorch_lightning.strategies import DDPStrategy

    from skufp.config import plain

    if processes == 1:
        devices = plain(cfg.trainer.devices)
        return {"devices": devices[:1] if isinstance(devices, list) else 1}
    nodes = launch.nodes if (launch := launched()) else 1
    looks = cfg.trainer.strategy != "ddp_find_unused_parameters_false"
    strategy = DDPStrategy(find_unused_parameters=looks, broadcast_buffers=False)
    devices = plain(cfg.trainer.devices) if nodes == 1 and launch is None else processes // nodes
    return {"devices": devices, "num_nodes": nodes, "strategy": strategy}


def checkpoints(folder: Path, every: int, keep: str, validates: bool) -> list[Any]:
    """Return the callbacks that keep the last two states to resume from and, for keep=best, the best weights.

    States are kept every ``every`` steps: after the validation where there is one, so that they know its result.
    """
    from pytorch_lightning.callbacks import ModelCheckpoint

    resume = ModelCheckpoint(
        folder, filename="resume-{step}", monitor="step", mode="max", save_top_k=2,
        every_n_train_steps=None if validates else every, save_on_train_epoch_end=False,
    )  # fmt: skip
    if keep != "best" or not validates:
        return [resume]
    best = ModelCheckpoint(folder, filename="best-{step}", monitor=WATCH, mode="max", save_on_train_epoch_end=False)
    return [best, resume]  # in this order: a state to resume from knows the best so far


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest state to resume from that can be read; None where there is none.

    One that was cut short, by a full disk or a power failure, is passed over with a line that says so.
    """
    import torch

    found = sorted(folder.glob("resume-*.ckpt"), key=lambda p: int(p.stem.rpartition("=")[2]), reverse=True)
    for path in found:
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a cut zip file raises many kinds
            print(f"{path.name} cannot be read ({type(error).__name__}): going on from the state before it")
        else:
            return path
    return None


def _logger(cfg: DictConfig, out: Path) -> Any:
    """Return the chosen logger; a resumed run logs beside its first attempt, never over it."""
    from skufp.config import build
    from skufp.stages.wandb_group import run_identity

    attempt = len(list((out / "logs").glob("attempt-*"))) if (out / "logs").exists() else 0
    name: dict[str, Any] = {"name": "logs", "version": f"attempt-{attempt}"}
    if "Wandb" in cfg.logger._target_:
        name = run_identity(cfg) | {"job_type": cfg.stage}
    (out / "logs" / f"attempt-{attempt}").mkdir(parents=True, exist_ok=True)
    try:
        return build(cfg.logger, save_dir=str(out), **name)
    except ModuleNotFoundError as error:
        extra = cfg.logger._target_.rpartition(".")[2].removesuffix("Logger").lower()
        raise UserError(f"the logger needs a package that is not there: pip install 'skufp[{extra}]'") from error


def _finish_logging(trainer: Any) -> None:
    """End a wandb run while its folder still has this name; Lightning leaves it open."""
    finish = getattr(trainer.logger.experiment, "finish", None)
    if callable(finish):
        finish()


def _validate(trainer: Any, module: Any, data: Any) -> dict[str, float]:
    """Return the dev metrics of the kept weights; empty without dev queries."""
    if not data.has_dev_queries:
        return {}
    results = trainer.validate(module, data, verbose=False)
    return {key: float(value) for key, value in (results[0] if results else {}).items()}


def quiet() -> None:
    """Silence Lightning's banner and the warnings that ask for what we do on purpose."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
    warnings.filterwarnings("ignore", module=r"torch(data)?\..*")
