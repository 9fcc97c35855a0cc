"""All training stages: the stage's YAML names the module, data and callbacks."""

import copy
import logging
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skufp.artifacts.folder import write_json
from skufp.compute.fit_processes import JOB, process_count, together
from skufp.compute.progress import worker_count
from skufp.errors import UserError, nearest
from skufp.schema import Config
from skufp.schema.settings import Settings
from skufp.stages.fit.trainer import CHECKPOINTS, WATCH, make_logger, make_trainer, newest_checkpoint
from skufp.stages.fit.training_stage import TrainingStage

if TYPE_CHECKING:
    from skufp.stages.fit.retriever_mix import Mix

VERSION = 4
KEEP = ("last", "best", "proven")
START = "start.pt"  # the module's state before the fit, for the other processes


def check(cfg: Config) -> None:
    """Raise UserError for an invalid ``keep``, number of folds or kind of text, before anything runs.

    Also for a model whose packages are not installed.
    """
    from skufp.data.captions import TEXTS

    if not cfg.model.encoder.get("pretrained"):
        check_packages(cfg.model.encoder._target_)
    if cfg.data.text not in TEXTS:
        raise UserError(f"data.text={cfg.data.text}: there is no such choice.{nearest(str(cfg.data.text), TEXTS)}")
    for name, spec in cfg.stages.items():
        if spec.run == __name__:
            check_stage(name, spec)


def check_packages(encoder: str) -> None:
    """Raise UserError for an encoder whose pretrained weights come from packages that are not installed."""
    from skufp.factory import named
    from skufp.models.dual_encoder import WeightsMissingError

    try:
        getattr(named(encoder), "check_packages", lambda: None)()
    except WeightsMissingError as error:
        raise UserError(str(error)) from error


def check_stage(name: str, spec: Settings) -> None:
    """Raise UserError for invalid settings of the training stage ``name``."""
    from skufp.config import plain

    if spec.keep not in KEEP:
        raise UserError(f"stages.{name}.keep={spec.keep}: there is no such choice.{nearest(spec.keep, KEEP)}")
    if spec.keep == "proven" and "folds" not in spec:
        raise UserError(f"stages.{name}.keep=proven: only fingerprints are proven; write best or last")
    if not isinstance(folds := spec.get("folds", 0), int) or folds < 0 or folds == 1:
        raise UserError(f"stages.{name}.folds={folds}: give 2 or more, or 0 for dev queries alone")
    if spec.keep == "proven":
        check_rate(f"stages.{name}.false_positive_rate", spec.get("false_positive_rate", 0.05))
    if spec.get("wise_ft") is not None:
        check_alphas(plain(spec.wise_ft))


def check_rate(name: str, rate: Any) -> None:
    """Raise UserError for an invalid false-positive rate."""
    if not isinstance(rate, int | float) or not 0 < rate < 1:
        raise UserError(f"{name}={rate}: give a share above 0 and below 1, e.g. 0.05")


def check_alphas(alphas: Any) -> None:
    """Raise UserError for invalid shares of the training, or without 0, the start that all others are compared with."""
    if not all(isinstance(alpha, int | float) and 0 <= alpha <= 1 for alpha in alphas) or 0 not in alphas:
        raise UserError(
            f"model.training.wise_ft={alphas}: give shares of the training from 0 to 1, 0 among them, e.g."
            " model.training.wise_ft=[0,0.25,0.5,0.75,1], or null to keep all of it"
        )


def also_uses(cfg: Config, spec: Settings) -> list[str]:
    """Return further settings that change the result: keep=best depends on the validations."""
    return ["trainer.checks"] if spec.keep == "best" else []


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Train, keep weights as best.ckpt, write metrics.json, model_card.md and the stage's own artefact.

    ``keep``: last, the last weights; best, the weights that ranked dev queries best; proven, the last weights if they
    are proven better than the start, else the start. With ``wise_ft`` the kept weights are then averaged with the
    start. With several processes (trainer.devices) this is the first; the others only take part in the fit.
    """
    import torch

    from skufp.config import locate
    from skufp.modules.optimiser import raise_if_diverged
    from skufp.reports.model_card import write_model_card
    from skufp.stages.fit.proof import is_proven
    from skufp.stages.fit.retriever_mix import mix_weights

    folders = {name: str(path) for name, path in inputs.items()}
    spec, data, module = assemble(cfg, folders)
    data.attach(module)
    trains = spec["steps"] > 0 and data.can_train and any(p.requires_grad for p in module.parameters())
    resume = newest_checkpoint(out / CHECKPOINTS)
    needs_start = spec["keep"] == "proven" or spec.get("wise_ft")  # also in a resumed fit
    if data.can_train and hasattr(module, "initialise") and (needs_start or resume is None):
        module.initialise(data.first_batches())
    start = copy.deepcopy(module) if needs_start else None
    mix: dict[str, Mix] = {}
    logger = make_logger(cfg, out)
    steps_done = 0
    if trains:
        trainer, best = fit(cfg, spec, module, data, folders, out, resume, logger)
        steps_done = trainer.global_step
        _take_average(trainer, module)
        raise_if_diverged(module)
        if best is not None and best.best_model_path:
            module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        if start is not None and spec["keep"] == "proven" and not is_proven(cfg, folders, start, module, data, out):
            module.load_state_dict(start.state_dict())
        if start is not None and spec.get("wise_ft"):
            mix = mix_weights(cfg, start, module, data, out)
    alone = make_trainer(cfg, spec, data, out, logger, processes=1)
    alone.strategy.connect(module.eval())
    alone.save_checkpoint(out / "best.ckpt", weights_only=True)
    metrics = _validate(alone, module, data)
    write_json(out / "metrics.json", {"steps": steps_done, **metrics, **mix})
    write_model_card(cfg, out)
    locate(spec["export"])(module.eval(), data, out)
    for folder in (CHECKPOINTS, JOB):
        shutil.rmtree(out / folder, ignore_errors=True)
    _finish_logging(alone)


def assemble(cfg: Config, inputs: Mapping[str, str]) -> tuple[TrainingStage, Any, Any]:
    """Return the settings of the stage, its DataModule and its module, the same in every process."""
    import pytorch_lightning as pl

    from skufp.compute.device import set_threads
    from skufp.config import build, plain

    quiet()
    set_threads(cfg)
    spec: TrainingStage = plain(cfg.stages[cfg.stage])
    pl.seed_everything(spec["seed"], verbose=False)
    workers = -(-worker_count(cfg) // process_count(cfg))
    data = build(spec["datamodule"], inputs=dict(inputs), steps=spec["steps"], workers=workers)
    return spec, data, build(spec["module"], steps=spec["steps"], **data.module_arguments())


def fit(
    cfg: Config, spec: TrainingStage, module: Any, data: Any, inputs: Mapping[str, str], out: Path,
    resume: Path | None, logger: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """Fit ``module``, together with the other processes if there are any.

    Return the Trainer and the callback that kept the best weights, or None.
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


def take_part(cfg: Config, inputs: Mapping[str, str], folder: Path, resume: Path | None) -> None:
    """Run another process of fit(): train the same module on a share of every batch; write nothing."""
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
    if trainer.interrupted or trainer.state.status == "interrupted":  # Ctrl-C ends fit() without an error
        raise KeyboardInterrupt
    return trainer, next((c for c in trainer.checkpoint_callbacks if c.monitor == WATCH), None)


def _finish_logging(trainer: Any) -> None:
    """End a wandb run before its folder is renamed; Lightning leaves it open."""
    finish = getattr(trainer.logger.experiment, "finish", None)
    if callable(finish):
        finish()


def _validate(trainer: Any, module: Any, data: Any) -> dict[str, float]:
    """Return the dev metrics of the kept weights; empty without dev queries."""
    if not data.has_dev_queries:
        return {}
    results = trainer.validate(module, data, verbose=False)
    return {key: float(value) for key, value in (results[0] if results else {}).items()}


def _take_average(trainer: Any, module: Any) -> None:
    """Load the averaged weights into ``module``: a fit resumed after its last step ends without doing so."""
    from pytorch_lightning.callbacks import EMAWeightAveraging

    for callback in trainer.callbacks:
        if isinstance(callback, EMAWeightAveraging):
            callback.on_train_end(trainer, module)


def quiet() -> None:
    """Silence Lightning's banner and its warnings about things that we do on purpose."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
    warnings.filterwarnings("ignore", module=r"torch\..*")
