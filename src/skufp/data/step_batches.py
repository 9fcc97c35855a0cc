"""Training batches drawn by their number: the same for any number of processes and of loader workers."""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from skufp.errors import UserError

Item = TypeVar("Item")


def refuse_small_batches(setting: str, size: int, world: int) -> None:
    """Raise UserError where a batch of ``size`` items, named by ``setting``, leaves one of ``world`` processes none."""
    if size < world:
        raise UserError(
            f"{setting}={size} cannot be shared by {world} processes: give at least {world}, or fewer trainer.devices"
        )


class StepBatches(IterableDataset):
    """``steps`` batches, from number ``start`` on; a process takes its share of each.

    Every process and every worker draws the same batches, reading without decoding, and decodes only its own: worker w
    of W has every W-th batch, process ``rank`` of ``world`` every ``world``-th item of a batch. What is random in the
    n-th batch is seeded by ``seed`` and n. So neither number changes what is learnt, and a run resumes anywhere with
    another number of workers.
    """

    def __init__(self, steps: int, seed: int, rank: int = 0, world: int = 1, start: int = 0) -> None:
        self.steps, self.seed, self.rank, self.world, self.start = steps, seed, rank, world, start

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker, workers = (info.id, info.num_workers) if (info := get_worker_info()) else (0, 1)
        for number, items in enumerate(itertools.islice(self.draws(), self.steps)):
            if number >= self.start and (number - self.start) % workers == worker:
                yield self.collate(items, number)

    @abstractmethod
    def draws(self) -> Iterator[Any]:
        """Yield the items of each whole batch, the same in every process and worker."""

    @abstractmethod
    def collate(self, items: Any, number: int) -> dict[str, Any]:
        """Return this process's share of the batch of a number."""

    def own(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """Return this process's share of a batch's items, each with its place in the batch."""
        return list(enumerate(items))[self.rank :: self.world]

    def rng(self, number: int, *place: int) -> np.random.Generator:
        """Return random numbers for a place in the batch of a number."""
        return np.random.default_rng([self.seed, number, *place])
