"""Resolution of ``auto`` and ``-1`` in settings: a stage computes with resolved settings, and its key is made of them.

Importing torch takes seconds, and a finished stage does not need it. So torch is imported only if the settings want a
GPU and the machine has a driver.
"""

import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from skufp.artifacts.split_names import DEV, SPLITS, refuse_other_splits
from skufp.errors import UserError, nearest

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
SHORT = {"64": "64-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}  # Lightning's short names
TOWERS = ("full", "frozen", "auto")
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's driver, Windows' own inside WSL, AMD's


def resolved(cfg: DictConfig) -> DictConfig:
    """Return a copy of ``cfg`` without ``auto`` and ``-1``.

    ``trainer.accelerator`` becomes cpu, cuda or mps; ``trainer.devices`` a number of processes, or a list of GPUs;
    ``trainer.strategy`` and ``trainer.precision`` get one name each; ``training.towers`` of model and judge becomes
    full or frozen. Raises UserError for invalid values, and for values that this machine does not support.
    """
    trainer, given = cfg.trainer, cfg.copy()
    accelerator = resolve_accelerator(trainer.accelerator)
    devices = resolve_devices(trainer.devices, accelerator)
    values = {
        "trainer.accelerator": accelerator,
        "trainer.devices": devices,
        "trainer.strategy": resolve_strategy(trainer.strategy, devices),
        "trainer.precision": resolve_precision(trainer.precision, accelerator),
        "model.training.towers": resolve_towers("model", cfg.model.training.towers, accelerator),
        "judge.training.towers": resolve_towers("judge", cfg.judge.training.towers, accelerator),
    }
    refuse_other_splits("data.gallery", cfg.data.gallery, (*SPLITS, DEV))
    refuse_other_splits("data.queries", [cfg.data.queries], (*SPLITS, DEV))
    if not cfg.data.gallery:
        raise UserError("data.gallery=[]: name the splits whose products are searched, as in data.gallery=[validation]")
    if trainer.checks < 1:
        raise UserError(f"trainer.checks={trainer.checks}: give 1 or more, the number of validations in a fit")
    OmegaConf.set_readonly(given, False)
    for key, value in values.items():
        OmegaConf.update(given, key, value)
    return given


def resolve_accelerator(wanted: Any) -> str:
    """Return cpu, cuda or mps; UserError if the machine does not have it."""
    if wanted not in ACCELERATORS:
        raise UserError(f"trainer.accelerator={wanted}: there is no such choice.{nearest(str(wanted), ACCELERATORS)}"
                        f" Choose {', '.join(ACCELERATORS[:3])}")  # fmt: skip
    if wanted == "cpu":
        return "cpu"
    if wanted in ("auto", "gpu", "cuda") and gpu_count():
        return "cuda"
    if wanted in ("gpu", "mps") and _has_metal():
        return "mps"
    if wanted == "auto":
        return "cpu"
    raise UserError(
        f"trainer.accelerator={wanted}: no GPU was found on this machine (no driver, or a torch without GPU support).\n"
        "Type trainer=cpu to compute on the CPU, or trainer=auto to use a GPU only where there is one"
    )


def gpu_count() -> int:
    """Return the number of CUDA GPUs that torch can use; 0 without a driver, without importing torch."""
    if not (sys.platform == "win32" or any(Path(driver).exists() for driver in DRIVERS)):
        return 0
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return 0
    import torch

    return torch.cuda.device_count()


def _has_metal() -> bool:
    if sys.platform != "darwin":
        return False
    import torch

    return torch.backends.mps.is_available()


def resolve_devices(wanted: Any, accelerator: str) -> int | list[int]:
    """Return the number of processes, or the numbers of their GPUs; -1 and auto mean all GPUs."""
    here = gpu_count() if accelerator == "cuda" else 1
    if wanted in (-1, "-1", "auto"):
        return here
    numbers = _numbers(wanted)
    if isinstance(numbers, int) and numbers > 0 and (accelerator == "cpu" or numbers <= here):
        return numbers
    if isinstance(numbers, list) and accelerator == "cuda" and 0 < len(set(numbers) & set(range(here))) == len(numbers):
        return numbers
    valid = {
        "cpu": "give the number of processes, 1 or more; a list names GPUs",
        "cuda": f"this machine has {here} GPU{'s' * (here != 1)}: give 1 to {here}, a list of numbers from 0 to"
        f" {here - 1}, or -1 for all",
        "mps": "there is one such GPU: give 1",
    }
    raise UserError(f"trainer.devices={wanted} with accelerator {accelerator}: {valid[accelerator]}")


def _numbers(wanted: Any) -> int | list[int] | None:
    """Read 2, "2", [0, 1] and "0,1"; None for anything else."""
    try:
        if isinstance(wanted, str):
            return [int(part) for part in wanted.split(",") if part.strip()] if "," in wanted else int(wanted)
        if isinstance(wanted, list | tuple | ListConfig):
            return [int(number) for number in wanted]
    except (TypeError, ValueError):
        return None
    return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else None


def resolve_strategy(wanted: Any, devices: int | list[int]) -> str:
    """Return Lightning's name of the strategy: for several processes, auto is ddp."""
    if wanted not in STRATEGIES:
        raise UserError(f"trainer.strategy={wanted}: there is no such choice.{nearest(str(wanted), STRATEGIES)}"
                        f" Choose {' or '.join(STRATEGIES[:2])}")  # fmt: skip
    several = (devices if isinstance(devices, int) else len(devices)) > 1
    return "ddp" if wanted == "auto" and several else str(wanted)


def resolve_precision(wanted: Any, accelerator: str) -> str:
    """Return Lightning's full name of the precision, so that 32 and 32-true have one key."""
    name = SHORT.get(str(wanted), str(wanted))
    if name not in PRECISIONS:
        raise UserError(f"trainer.precision={wanted}: there is no such choice.{nearest(str(wanted), PRECISIONS)}"
                        f" Choose {', '.join(PRECISIONS[:3])}")  # fmt: skip
    if name.startswith("16") and accelerator == "cpu":
        raise UserError(f"trainer.precision={wanted} needs a GPU: choose 32-true or bf16-mixed on a CPU")
    return name


def resolve_towers(section: str, wanted: Any, accelerator: str) -> str:
    """Return full or frozen; auto is full with a GPU."""
    if wanted not in TOWERS:
        raise UserError(f"{section}.training.towers={wanted}: there is no such choice.{nearest(str(wanted), TOWERS)}"
                        f" Choose {', '.join(TOWERS)}")  # fmt: skip
    if wanted == "auto":
        return "frozen" if accelerator == "cpu" else "full"
    return str(wanted)
