"""A training process's place: its rank, the number of processes that share each batch, and the first step."""

from typing import Any, NamedTuple


class Place(NamedTuple):
    """Process ``rank`` of ``world``; ``start`` is the number of the first batch, above 0 in a resumed run."""

    rank: int = 0
    world: int = 1
    start: int = 0

    @classmethod
    def of(cls, trainer: Any) -> "Place":
        """Return this process's place in a Trainer; without a Trainer it is the only process.

        A batch is one optimiser step, so the Trainer's step, which a checkpoint restores, is the next batch's number.
        """
        return cls() if trainer is None else cls(trainer.global_rank, trainer.world_size, trainer.global_step)


ALONE = Place()
