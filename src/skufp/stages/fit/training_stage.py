"""A training stage's settings, in the form of conf/stages/<stage>.yaml, as plain data."""

from typing import Any, NotRequired, TypedDict


class TrainingStage(TypedDict):
    """The settings of a training stage that stages/fit reads; a stage may have further settings."""

    module: dict[str, Any]  # a LightningModule's class and arguments
    datamodule: dict[str, Any]  # a DataModule's class and arguments
    callbacks: dict[str, dict[str, Any]]  # classes and arguments by any name
    export: str  # the function that writes the stage's own artefact: targets.EXPORTS
    seed: int
    steps: int  # 0 trains nothing
    keep: str  # last, best or proven
    ema: float  # decay of averaged weights; 0: none
    clip: float  # largest norm of the gradient
    wise_ft: NotRequired[list[float] | None]  # shares of the training to choose from; null: all of it
    folds: NotRequired[int]  # of the proof's cross-fitting; 0: dev queries alone
    false_positive_rate: NotRequired[float]  # of the proof
