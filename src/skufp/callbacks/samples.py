"""Sample pictures: at every validation the augmenter draws views of the same few sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image

from skufp.models.view_sampler import ViewSampler

GAP = 2  # white pixels between pictures


class SampleGrid(pl.Callback):
    """Draws a grid with a column per pair: the source, the draft, the generated view, and the real target.

    Written as `samples/step-000100.png` into the stage's folder, and sent to loggers that accept pictures.
    """

    def __init__(
        self, count: int = 8, steps: int = 12, guidance: float = 1.0, temperature: float = 1.0, start: float = 1.0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.count, self.start, self.seed = count, start, seed
        self.sampler = ViewSampler(steps, guidance, temperature=temperature)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, write and log the grid, while the averaged weights (stages/fit, ema) are still in place."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        module: Any = pl_module
        batch = trainer.datamodule.sample_pairs(self.count)  # type: ignore[attr-defined]
        tensors = {k: v.to(module.device) for k, v in batch.items() if isinstance(v, torch.Tensor)}
        drawn = module.sample(tensors, self.sampler, self.seed, self.start)
        rows = [tensors["source"], tensors["draft"], drawn, tensors["target"]]
        picture = grid([row.float().cpu() for row in rows])
        folder = Path(trainer.default_root_dir) / "samples"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"step-{trainer.global_step:06d}.png")
        for logger in trainer.loggers:
            log_picture(logger, picture, trainer.global_step)


def grid(rows: list[torch.Tensor]) -> np.ndarray:
    """Return rows of pictures, each [B, 3, S, S] in [-1, 1], as one RGB picture with white lines between."""
    lines = []
    for row in rows:
        pictures = ((row.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        padded = np.pad(pictures, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(padded), axis=1))
    return np.concatenate(lines)


def log_picture(logger: Any, picture: np.ndarray, step: int) -> None:
    """Log a picture with wandb's or TensorBoard's logger; other loggers accept none."""
    if hasattr(logger, "log_image"):
        logger.log_image("samples", [picture], step=step)
    elif hasattr(logger.experiment, "add_image"):
        logger.experiment.add_image("samples", picture, step, dataformats="HWC")
