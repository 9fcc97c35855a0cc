"""The four training stages: the stage's YAML says which module, data and callbacks. The only user of the Trainer."""

import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.errors import UserError
from skufp.stages.progress import worker_count

VERSION = 2
UNTRAINED = "checkpoints/untrained.pt"


def run(cfg: DictConfig, inputs: dict[str, Path], out: Path) -> None:
    """Train, keep the best or the last weights as best.ckpt, write metrics.json and the stage's own artefact."""
    import pytorch_lightning as pl

    from skufp.config import build, locate, plain
    from skufp.stages.device import set_threads

    _quiet()
    set_threads(cfg)
    pl.seed_everything(cfg.seed, verbose=False)
    spec = plain(cfg.stages[cfg.stage])
    folders = {name: str(path) for name, path in inputs.items()}
    data = build(spec["datamodule"], inputs=folders, steps=spec["steps"], workers=worker_count(cfg))
    module = build(spec["module"], steps=spec["steps"], **data.module_arguments())
    data.attach(module)
    last = out / "checkpoints" / "last.ckpt"
    if data.can_train and hasattr(module, "initialise") and not last.exists():
        module.initialise(data.first_batches())
    trainable = [p for p in module.parameters() if p.requires_grad]
    trainer, checkpoint = _trainer(cfg, spec, data, out)
    if spec["steps"] > 0 and trainable and data.can_train:
        untrained = _untrained(out, spec, trainer, module, data)
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        _raise_if_stopped(trainer)
        if untrained:
            _keep_what_is_better(untrained, checkpoint.best_model_path, trainer, module, data)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(out / "best.ckpt", weights_only=True)
    metrics = _validate(trainer, module, data)
    if trainer.is_global_zero:
        write_json(out / "metrics.json", {"steps": trainer.global_step, **metrics})
        locate(spec["export"])(module.eval(), data, out)
        shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _untrained(out: Path, spec: dict[str, Any], trainer: Any, module: Any, data: Any) -> dict[str, Any]:
    """Keep the weights at the start with their ranks of dev queries; empty unless keep=best and dev has queries."""
    import torch

    if spec["keep"] != "best" or not data.has_dev_queries:
        return {}
    if not (out / UNTRAINED).exists():
        _validate(trainer, module, data)
        (out / "checkpoints").mkdir(exist_ok=True)
        torch.save({"state_dict": module.state_dict(), "ranks": _ranks(trainer).tolist()}, out / UNTRAINED)
    start: dict[str, Any] = torch.load(out / UNTRAINED, weights_only=True)
    return start


def _keep_what_is_better(untrained: dict[str, Any], best: str, trainer: Any, module: Any, data: Any) -> None:
    """Load the best checkpoint if it beats the start in reciprocal rank by more than a standard error on dev.

    A small dev split makes some checkpoint look better by luck; then the start, e.g. the mean of views, is kept.
    """
    import torch

    if best:
        module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
        _validate(trainer, module, data)
        gain = 1 / _ranks(trainer) - 1 / np.array(untrained["ranks"])
        if gain.mean() > gain.std(ddof=min(1, len(gain) - 1)) / len(gain) ** 0.5:
            return
    print("training did not beat its start on dev by more than a standard error: the start is kept")
    module.load_state_dict(untrained["state_dict"])


def _ranks(trainer: Any) -> np.ndarray:
    from skufp.callbacks.retrieval import FaissRetrieval

    return next(c.ranks for c in trainer.callbacks if isinstance(c, FaissRetrieval))


def _trainer(cfg: DictConfig, spec: dict[str, Any], data: Any, out: Path) -> tuple[Any, Any]:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar

    from skufp.config import build, plain

    every = max(1, spec["steps"] // cfg.trainer.checks)
    watch = "val/mrr" if spec["keep"] == "best" and data.has_dev_queries else None
    checkpoint = ModelCheckpoint(
        out / "checkpoints", filename="best", monitor=watch, mode="max", save_last=True,
        every_n_train_steps=None if watch else every, save_on_train_epoch_end=False,
    )  # fmt: skip
    callbacks = [build(c) for c in spec["callbacks"].values()] + [checkpoint]
    if spec["ema"] > 0:
        callbacks.append(EMAWeightAveraging(decay=spec["ema"]))
    if cfg.progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    trainer = pl.Trainer(
        accelerator=cfg.trainer.accelerator, devices=plain(cfg.trainer.devices), strategy=cfg.trainer.strategy,
        precision=cfg.trainer.precision, max_steps=spec["steps"], val_check_interval=every,
        limit_val_batches=1.0 if data.has_dev_queries else 0, num_sanity_val_steps=0, callbacks=callbacks,
        logger=_logger(cfg, out), use_distributed_sampler=False, enable_progress_bar=bool(cfg.progress),
        enable_model_summary=False, log_every_n_steps=10, gradient_clip_val=spec["clip"],
    )  # fmt: skip
    return trainer, checkpoint


def _logger(cfg: DictConfig, out: Path) -> Any:
    """Return the chosen logger; a resumed run logs beside its first attempt, never over it."""
    from skufp.config import build

    attempt = len(list((out / "logs").glob("attempt-*"))) if (out / "logs").exists() else 0
    name = {"name": "logs", "version": f"attempt-{attempt}"}
    if "Wandb" in cfg.logger._target_:
        name = {"name": str(cfg.stages[cfg.stage].label), "group": cfg.ablation, "job_type": cfg.stage}
    (out / "logs" / f"attempt-{attempt}").mkdir(parents=True, exist_ok=True)
    try:
        return build(cfg.logger, save_dir=str(out), **name)
    except ModuleNotFoundError as error:
        extra = cfg.logger._target_.rpartition(".")[2].removesuffix("Logger").lower()
        raise UserError(f"the logger needs a package that is not there: pip install 'skufp[{extra}]'") from error


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


def _quiet() -> None:
    """Silence Lightning's banner and the warnings that ask for what we do on purpose."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
    warnings.filterwarnings("ignore", module=r"torch(data)?\..*")
