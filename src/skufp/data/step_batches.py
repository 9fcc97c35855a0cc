"""Training batches seeded by their number: the same for any number of processes and of loader workers."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from skufp.errors import UserError

Item = TypeVar("Item")
Items = TypeVar("Items")  # of a whole batch
Batch = TypeVar("Batch")


def refuse_small_batches(setting: str, size: int, world: int) -> None:
    """Raise UserError where a batch of ``size`` items, set by ``setting``, is smaller than ``world`` processes."""
    if size < world:
        raise UserError(
            f"{setting}={size} cannot be shared by {world} processes: give at least {world}, or fewer trainer.devices"
        )


class StepBatches(IterableDataset[Batch], Generic[Items, Batch]):
    """``steps`` batches, from number ``start`` on; a process takes its share of each.

    Every process and every worker draws the same batches without decoding, and decodes only its share: worker w of W
    every W-th batch, process ``rank`` of ``world`` every ``world``-th item of a batch. The n-th batch is seeded by
    ``seed`` and n. So the result depends on neither number, and a run can resume at any step with another number of
    workers.
    """

    def __init__(self, steps: int, seed: int, rank: int = 0, world: int = 1, start: int = 0) -> None:
        self.steps, self.seed, self.rank, self.world, self.start = steps, seed, rank, world, start

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        worker, workers = (info.id, info.num_workers) if (info := get_worker_info()) else (0, 1)
        for number, items in enumerate(itertools.islice(self.draws(), self.steps)):
            if number >= self.start and (number - self.start) % workers == worker:
                yield self.collate(items, number)

    @abstractmethod
    def draws(self) -> Iterator[Items]:
        """Yield the items of each whole batch, the same in every process and worker."""

    @abstractmethod
    def collate(self, items: Items, number: int) -> Batch:
        """Return this process's share of batch ``number``."""

    def own(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """Return this process's share of a batch's items, each with its position in the batch."""
        return list(enumerate(items))[self.rank :: self.world]

    def rng(self, number: int, *place: int) -> np.random.Generator:
        """Return a random generator for a position in batch ``number``."""
        return np.random.default_rng([self.seed, number, *place])
