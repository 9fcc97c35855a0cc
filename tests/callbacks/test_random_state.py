"""Torch's random numbers over a kill: in a real Trainer, with dropout and validations in between."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skufp.callbacks.random_state import RandomState

STEPS, CHECK = 12, 4


class Noisy(pl.LightningModule):
    """Adds up what dropout leaves of ones: ``seen`` is one run's random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))
        self.seen: list[list[float]] = []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        kept = nn.functional.dropout(torch.ones(8), 0.5)
        self.seen.append(kept.tolist())
        return ((self.weight - 1) * kept).square().sum()

    def validation_step(self, batch: Tensor, index: int) -> None:
        torch.rand(3)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


class Killed(BaseException):
    """As if the machine went down."""


class Kill(pl.Callback):
    """Kills the run in the middle of a stretch between two checkpoints."""

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        if trainer.global_step == 2 * CHECK + 2:
            raise Killed


def _run(folder: Path, seed: int, validate: bool, *callbacks: pl.Callback) -> Noisy:
    last, module = folder / "last.ckpt", Noisy()
    batches = DataLoader([torch.zeros(1)] * STEPS, batch_size=None)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        checkpoint = ModelCheckpoint(folder, save_last=True, every_n_train_steps=CHECK, save_on_train_epoch_end=False)
        trainer = pl.Trainer(
            accelerator="cpu", max_steps=STEPS, logger=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[*callbacks, checkpoint], num_sanity_val_steps=0, val_check_interval=CHECK,
            limit_val_batches=1.0 if validate else 0,
        )  # fmt: skip
        resumed = str(last) if last.exists() else None
        trainer.fit(module, batches, batches if validate else None, ckpt_path=resumed, weights_only=True)
        trainer.save_checkpoint(folder / "best.ckpt", weights_only=True)
    return module


@pytest.mark.parametrize("validate", [False, True])
def test_a_killed_run_goes_on_with_its_own_numbers(tmp_path: Path, validate: bool) -> None:
    whole = _run(tmp_path / "whole", 0, validate, RandomState())
    with pytest.raises(Killed):
        _run(tmp_path / "part", 0, validate, RandomState(), Kill())
    resumed = _run(tmp_path / "part", 1, validate, RandomState())  # whatever the seed is now
    assert len(whole.seen) == STEPS
    assert resumed.seen == whole.seen[2 * CHECK :]
    assert torch.equal(resumed.weight, whole.weight)


def test_validations_leave_no_trace(tmp_path: Path) -> None:
    without, validated = (_run(tmp_path / str(v), 0, v, RandomState()) for v in (False, True))
    assert without.seen == validated.seen


def test_without_it_the_run_would_be_another(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole", 0, False)
    with pytest.raises(Killed):
        _run(tmp_path / "part", 0, False, Kill())
    resumed = _run(tmp_path / "part", 0, False)
    assert resumed.seen != whole.seen[2 * CHECK :]


def test_what_is_kept_after_training_has_no_numbers(tmp_path: Path) -> None:
    _run(tmp_path, 0, False, RandomState())
    assert "RandomState" in torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert "callbacks" not in torch.load(tmp_path / "best.ckpt", weights_only=True)
