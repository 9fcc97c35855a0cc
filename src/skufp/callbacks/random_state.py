"""Torch's random states in the checkpoint, so that a resumed run equals an uninterrupted run, dropout included."""

from typing import Any

import pytorch_lightning as pl
import torch


class RandomState(pl.Callback):
    """Saves the states of torch's generators, of the CPU and, with CUDA, of this device, in checkpoints.

    Validations do not change the states: a run does not depend on how often it is validated, or on when it was killed.
    The final weights have no states.
    """

    def __init__(self) -> None:
        self.resumed: dict[str, torch.Tensor] = {}
        self.trained: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the states at the time of the checkpoint."""
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]) -> None:
        """Restore the states; they are set before the first step, after the loaders' own draws."""
        self.resumed = state_dict

    def on_train_batch_start(self, *_: Any) -> None:
        """Set the states of the resumed run."""
        _set(self.resumed)
        self.resumed = {}

    def on_train_batch_end(self, *_: Any) -> None:
        """Store the states; a validation's loader draws before any of its hooks."""
        self.trained = self.state_dict()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states of training."""
        if trainer.state.fn == "fit":
            _set(self.trained)


def _set(state: dict[str, torch.Tensor]) -> None:
    if "cpu" in state:
        torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].cpu())
