"""Names and groups of runs on Weights & Biases: the group is the sweep or the ablation."""

from pathlib import Path
from typing import Any

from skufp.artifacts.folder import read_json
from skufp.schema import Config


def sweep_group(cfg: Config) -> str:
    """Return ``<sweep>-<time>`` in a multirun, where the sweep is the --config-name; else the ablation's name."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return str(cfg.ablation)
    hydra = HydraConfig.get()
    name = hydra.job.config_name
    return f"{'sweep' if name == 'config' else name}-{Path(hydra.sweep.dir).name}"


def run_identity(cfg: Config) -> dict[str, Any]:
    """Return name, group and config for the run of ``cfg.stage``, which identify it among the sweep's runs.

    The config is under ``run``, apart from the hyper-parameters that Lightning adds.
    """
    choices = {part: str(getattr(cfg, part).name) for part in ("model", "aggregator", "loss", "index")}
    names = {"data": str(cfg.data.label)} | choices
    seeds = {part: int(getattr(cfg, part)) for part in ("seed", "fingerprint_seed")}
    run = names | seeds | {"ablation": str(cfg.ablation), "stage": str(cfg.stage)}
    name = f"{cfg.stages[cfg.stage].label} {run['ablation']} seed {run['seed']}/{run['fingerprint_seed']}"
    return {"name": name, "group": sweep_group(cfg), "config": {"run": run}}


def log_evaluation_if_asked(
    cfg: Config, inputs: dict[str, Path], out: Path, metrics: dict[str, Any], examples: list[dict[str, Any]]
) -> None:
    """With logger=wandb, log an evaluation and its teachers' report; ``out`` is the stage's folder.

    The stage's key is the run's id, so that the same evaluation in a later sweep replaces the earlier run.
    """
    if "Wandb" not in cfg.logger._target_:
        return
    from skufp.callbacks.wandb_evaluation import log_evaluation

    report = {"teacher": read_json(inputs["teacher"] / "report.json")} if "teacher" in inputs else {}
    key = out.name.removesuffix(".building").rpartition("-")[2]
    log_evaluation(
        metrics | report, examples, run_id=key, folder=out, project=cfg.logger.project, entity=cfg.logger.entity,
        offline=bool(cfg.logger.offline), **run_identity(cfg),
    )  # fmt: skip
