"""Sample grids: what stands where, which weights draw them, and which loggers get them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skufp.callbacks.samples import GAP, SampleGrid, grid, log_picture
from skufp.models.view_sampler import ViewSampler

SIDE, COUNT = 4, 3


def _flat(levels: list[int]) -> Tensor:
    """[B, 3, S, S] in [-1, 1] of even grey levels."""
    return (torch.tensor(levels) / 127.5 - 1)[:, None, None, None].expand(-1, 3, SIDE, SIDE)


def test_a_grid_is_rows_of_pictures_with_white_between() -> None:
    picture = grid([_flat([0, 100]), _flat([200, 255])])
    tile = SIDE + GAP
    assert picture.shape == (2 * tile, 2 * tile, 3)
    assert picture.dtype == np.uint8
    for row, levels in enumerate([[0, 100], [200, 255]]):
        for column, level in enumerate(levels):
            y, x = row * tile, column * tile
            assert (picture[y : y + SIDE, x : x + SIDE] == level).all()
            assert (picture[y + SIDE : y + tile, x : x + tile] == 255).all()
            assert (picture[y : y + tile, x + SIDE : x + tile] == 255).all()


def test_a_grid_keeps_colours_and_cuts_what_is_out_of_range() -> None:
    colour = torch.tensor([-3.0, 0.0, 3.0])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    assert grid([colour])[0, 0].tolist() == [0, 128, 255]


class Grey(pl.LightningModule):
    """Draws its one weight as a grey level, plus 10 for action 1, 1 for a step or seed, 4 for a start of 0.

    Each training step takes 16 off the weight: from 128, that is 112, 96, 80, 64.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(128.0))

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        return self.weight

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=16.0)

    def sample(self, batch: dict[str, Any], sampler: ViewSampler, seed: int, start: float = 1.0) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        assert batch["source"].shape == (COUNT, 3, SIDE, SIDE)
        level = round(float(self.weight)) + sampler.steps + seed + round(4 * (1 - start))
        return _flat([level + 10 * action for action in batch["action"].tolist()])


class Pairs(pl.LightningDataModule):
    def _batches(self) -> DataLoader:
        return DataLoader([torch.zeros(1)] * 4, batch_size=None)  # type: ignore[arg-type]

    train_dataloader = val_dataloader = _batches

    def sample_pairs(self, count: int) -> dict[str, Any]:
        assert count == COUNT
        return {"source": _flat([10, 20, 30]), "target": _flat([15, 25, 35]), "draft": _flat([12, 22, 32]),
                "action": torch.tensor([1, 1, 0]), "sku_id": ["a", "b", "c"]}  # fmt: skip


def _fit(folder: Path, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=4, val_check_interval=2, default_root_dir=folder, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks), **settings,
    )  # fmt: skip
    trainer.fit(Grey(), Pairs())
    return trainer


def _levels(path: Path) -> list[list[int]]:
    """The grey level of every tile of a grid."""
    picture = np.asarray(Image.open(path))
    return picture[:: SIDE + GAP, :: SIDE + GAP, 0].tolist()


def test_every_validation_draws_source_draft_view_and_target(tmp_path: Path) -> None:
    _fit(tmp_path, SampleGrid(COUNT, steps=5, start=0.25, seed=2), logger=False, num_sanity_val_steps=1)
    samples = tmp_path / "samples"
    assert sorted(p.name for p in samples.iterdir()) == ["step-000002.png", "step-000004.png"]  # none of the check
    level = 96 + 5 + 2 + 3
    expected = [[10, 20, 30], [12, 22, 32], [level + 10, level + 10, level], [15, 25, 35]]
    assert _levels(samples / "step-000002.png") == expected
    assert _levels(samples / "step-000004.png")[2] == [64 + 10 + 5 + 2 + 3] * 2 + [64 + 5 + 2 + 3]


def test_the_averaged_weights_draw_since_they_are_the_ones_that_are_kept(tmp_path: Path) -> None:
    callbacks = [SampleGrid(COUNT, steps=1), EMAWeightAveraging(decay=0.5)]
    trainer = _fit(tmp_path, *callbacks, logger=False, num_sanity_val_steps=0)
    # 112, then half of what was and half of what is: 104, 92, 78
    assert _levels(tmp_path / "samples" / "step-000002.png")[2] == [114 + 1, 114 + 1, 104 + 1]
    assert _levels(tmp_path / "samples" / "step-000004.png")[2] == [88 + 1, 88 + 1, 78 + 1]
    assert float(trainer.lightning_module.weight) == pytest.approx(78)  # type: ignore[arg-type]


def test_tensorboard_gets_the_picture(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoardLogger(tmp_path / "board")
    _fit(tmp_path, SampleGrid(COUNT, steps=1), logger=logger, num_sanity_val_steps=0)
    logger.finalize("success")
    events = accumulator.EventAccumulator(logger.log_dir, size_guidance={accumulator.IMAGES: 0})
    images = events.Reload().Images("samples")
    assert [image.step for image in images] == [2, 4]
    assert (images[0].width, images[0].height) == (COUNT * (SIDE + GAP), 4 * (SIDE + GAP))


def test_a_logger_of_pictures_is_handed_one(tmp_path: Path) -> None:
    class Pictures:
        def log_image(self, key: str, images: list[np.ndarray], step: int) -> None:
            self.got = key, images, step

    logger, picture = Pictures(), grid([_flat([1])])
    log_picture(logger, picture, 7)
    key, images, step = logger.got
    assert (key, step) == ("samples", 7)
    assert np.array_equal(images[0], picture)


def test_csv_takes_no_pictures_and_does_not_mind(tmp_path: Path) -> None:
    _fit(tmp_path, SampleGrid(COUNT, steps=1), logger=CSVLogger(tmp_path), num_sanity_val_steps=0)
    assert len(list((tmp_path / "samples").iterdir())) == 2
