"""Torch's random numbers in the checkpoint: a killed and resumed run is the same run, dropout included."""

from typing import Any

import pytorch_lightning as pl
import torch


class RandomState(pl.Callback):
    """Keeps the states of torch's generators, the CPU's and, where CUDA is in use, this device's, with checkpoints.

    Validations leave no trace in them: a run is the same however often it is validated, and whether it was killed
    before or after. What is kept after training (weights alone) has no states.
    """

    def __init__(self) -> None:
        self.resumed: dict[str, torch.Tensor] = {}
        self.trained: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the states as they are when the checkpoint is written."""
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]) -> None:
        """Take the states back; they hold from the first step on, after whatever the loaders draw as they start."""
        self.resumed = state_dict

    def on_train_batch_start(self, *_: Any) -> None:
        """Go on with the random numbers of the run that is resumed."""
        _set(self.resumed)
        self.resumed = {}

    def on_train_batch_end(self, *_: Any) -> None:
        """Remember the states; a validation's loader draws before any of its hooks."""
        self.trained = self.state_dict()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with training's random numbers."""
        if trainer.state.fn == "fit":
            _set(self.trained)


def _set(state: dict[str, torch.Tensor]) -> None:
    if "cpu" in state:
        torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].cpu())
