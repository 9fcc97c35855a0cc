"""The Trainer of a training stage: its devices, checkpoints and logger."""

from pathlib import Path
from typing import Any

from skufp.compute.fit_processes import launched
from skufp.errors import UserError
from skufp.schema import Config
from skufp.stages.fit.training_stage import TrainingStage

WATCH = "val/mrr"  # the metric of keep=best
CHECKPOINTS = "checkpoints"


def make_trainer(cfg: Config, spec: TrainingStage, data: Any, out: Path, logger: Any, processes: int = 1) -> Any:
    """Return the Trainer of this process, one of ``processes``."""
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import EMAWeightAveraging, TQDMProgressBar

    from skufp.callbacks.random_state import RandomState
    from skufp.config import build

    every = max(1, spec["steps"] // cfg.trainer.checks)
    averaging = [EMAWeightAveraging(decay=spec["ema"])] if spec["ema"] > 0 else []
    callbacks = [*averaging, *(build(c) for c in spec["callbacks"].values()), RandomState()]  # averaging comes first
    callbacks += checkpoints(out / CHECKPOINTS, every, spec["keep"], data.has_dev_queries)
    if cfg.progress and logger is not False:  # only the first process has a progress bar
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    precision: Any = cfg.trainer.precision  # Lightning's type is a Literal; skufp.resolve chose one of its values
    return pl.Trainer(
        accelerator=cfg.trainer.accelerator, precision=precision, max_steps=spec["steps"],
        val_check_interval=every, limit_val_batches=1.0 if data.has_dev_queries else 0, num_sanity_val_steps=0,
        callbacks=callbacks, default_root_dir=out, logger=logger, use_distributed_sampler=False,
        enable_progress_bar=bool(cfg.progress), enable_model_summary=False, log_every_n_steps=10,
        gradient_clip_val=spec["clip"], **placement(cfg, processes),
    )  # fmt: skip


def placement(cfg: Config, processes: int) -> dict[str, Any]:
    """Return the Trainer's devices and strategy for ``processes`` that train together.

    Unused parameters are searched for at every step, unless trainer.strategy sets otherwise: a share of the batch
    without text does not use the text tower. Buffers are the same everywhere and are not sent.
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
    """Return the callbacks that save the last two states to resume from and, for keep=best, the best weights.

    States are saved every ``every`` steps, after the validation if there is one, so that they hold its result.
    """
    from pytorch_lightning.callbacks import ModelCheckpoint

    resume = ModelCheckpoint(
        folder, filename="resume-{step}", monitor="step", mode="max", save_top_k=2,
        every_n_train_steps=None if validates else every, save_on_train_epoch_end=False,
    )  # fmt: skip
    if keep != "best" or not validates:
        return [resume]
    best = ModelCheckpoint(folder, filename="best-{step}", monitor=WATCH, mode="max", save_on_train_epoch_end=False)
    return [best, resume]  # in this order, so that a state to resume from holds the best so far


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest readable state to resume from; None if there is none.

    A truncated state, after a full disk or a power failure, is skipped with a message.
    """
    import torch

    found = sorted(folder.glob("resume-*.ckpt"), key=lambda p: int(p.stem.rpartition("=")[2]), reverse=True)
    for path in found:
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a truncated zip file raises many kinds
            print(f"{path.name} cannot be read ({type(error).__name__}): going on from the state before it")
        else:
            return path
    return None


def make_logger(cfg: Config, out: Path) -> Any:
    """Return the chosen logger; a resumed run does not overwrite its first attempt's log."""
    from skufp.config import build
    from skufp.reports.wandb_runs import run_identity

    attempt = len(list((out / "logs").glob("attempt-*"))) if (out / "logs").exists() else 0
    name: dict[str, Any] = {"name": "logs", "version": f"attempt-{attempt}"}
    if "Wandb" in cfg.logger._target_:
        name = run_identity(cfg) | {"job_type": cfg.stage}
    (out / "logs" / f"attempt-{attempt}").mkdir(parents=True, exist_ok=True)
    try:
        return build(cfg.logger, save_dir=str(out.resolve()), **name)  # wandb writes from a separate process
    except ModuleNotFoundError as error:
        extra = cfg.logger._target_.rpartition(".")[2].removesuffix("Logger").lower()
        raise UserError(f"the logger needs a package that is not there: pip install 'skufp[{extra}]'") from error
