"""The four training stages: the stage's YAML says which module, data and callbacks. The only user of the Trainer."""

import copy
import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.errors import UserError, nearest
from skufp.stages.progress import worker_count

VERSION = 3
KEEP = ("last", "best", "proven")


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


def also_uses(cfg: DictConfig, spec: DictConfig) -> list[str]:
    """Return what else changes the result: best weights can be kept only where dev queries were looked at."""
    return ["trainer.checks"] if spec.keep == "best" else []


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Train, keep weights as best.ckpt, write metrics.json and the stage's own artefact.

    ``keep``: last, the last weights; best, those that ranked dev queries best; proven, the last if they are proven
    better than the start, else the start.
    """
    import pytorch_lightning as pl
    import torch

    from skufp.config import build, locate, plain
    from skufp.modules.optimiser import raise_if_diverged
    from skufp.stages.device import set_threads
    from skufp.stages.proof import is_proven

    quiet()
    set_threads(cfg)
    spec = plain(cfg.stages[cfg.stage])
    pl.seed_everything(spec["seed"], verbose=False)
    folders = {name: str(path) for name, path in inputs.items()}
    data = build(spec["datamodule"], inputs=folders, steps=spec["steps"], workers=worker_count(cfg))
    module = build(spec["module"], steps=spec["steps"], **data.module_arguments())
    data.attach(module)
    last = out / "checkpoints" / "last.ckpt"
    if data.can_train and hasattr(module, "initialise") and not last.exists():
        module.initialise(data.first_batches())
    start = copy.deepcopy(module) if spec["keep"] == "proven" else None
    trainable = [p for p in module.parameters() if p.requires_grad]
    trainer, checkpoint = _trainer(cfg, spec, data, out)
    if spec["steps"] > 0 and trainable and data.can_train:
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        _raise_if_stopped(trainer)
        raise_if_diverged(module)
        if spec["keep"] == "best" and checkpoint.best_model_path:
            module.load_state_dict(torch.load(checkpoint.best_model_path, weights_only=True)["state_dict"])
        if start is not None and not is_proven(cfg, folders, start, module, data, out):
            module.load_state_dict(start.state_dict())
    trainer.strategy.connect(module.eval())
    trainer.save_checkpoint(out / "best.ckpt", weights_only=True)
    metrics = _validate(trainer, module, data)
    if trainer.is_global_zero:
        write_json(out / "metrics.json", {"steps": trainer.global_step, **metrics})
        locate(spec["export"])(module.eval(), data, out)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
        _finish_logging(trainer)


def _trainer(cfg: DictConfig, spec: dict[str, Any], data: Any, out: Path) -> tuple[Any, Any]:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar

    from skufp.callbacks.random_state import RandomState
    from skufp.config import build, plain

    every = max(1, spec["steps"] // cfg.trainer.checks)
    watch = "val/mrr" if spec["keep"] == "best" and data.has_dev_queries else None
    checkpoint = ModelCheckpoint(
        out / "checkpoints", filename="best", monitor=watch, mode="max", save_last=True,
        every_n_train_steps=None if watch else every, save_on_train_epoch_end=False,
    )  # fmt: skip
    callbacks = [build(c) for c in spec["callbacks"].values()] + [RandomState(), checkpoint]
    if spec["ema"] > 0:
        callbacks.append(EMAWeightAveraging(decay=spec["ema"]))
    if cfg.progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    trainer = pl.Trainer(
        accelerator=cfg.trainer.accelerator, devices=plain(cfg.trainer.devices), strategy=cfg.trainer.strategy,
        precision=cfg.trainer.precision, max_steps=spec["steps"], val_check_interval=every,
        limit_val_batches=1.0 if data.has_dev_queries else 0, num_sanity_val_steps=0, callbacks=callbacks,
        default_root_dir=out, logger=_logger(cfg, out), use_distributed_sampler=False,
        enable_progress_bar=bool(cfg.progress), enable_model_summary=False, log_every_n_steps=10,
        gradient_clip_val=spec["clip"],
    )  # fmt: skip
    return trainer, checkpoint


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


def _raise_if_stopped(trainer: Any) -> None:
    """Ctrl-C ends fit() quietly: the stage must not count as done."""
    if trainer.interrupted or trainer.state.status == "interrupted":
        raise KeyboardInterrupt


def quiet() -> None:
    """Silence Lightning's banner and the warnings that ask for what we do on purpose."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
    warnings.filterwarnings("ignore", module=r"torch(data)?\..*")
