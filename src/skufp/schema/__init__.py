"""The configuration's schema: the settings, their types and their meaning. Unknown names are refused."""

import os
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, OmegaConf

from skufp.schema.catalogue import Shop
from skufp.schema.fingerprint import Loss
from skufp.schema.models import Model, Trainer
from skufp.schema.policy import Actions, Policy
from skufp.schema.search import Data, Index, Query
from skufp.schema.settings import Settings
from skufp.schema.views import Augmenter, Views
from skufp.shipped import config_folder


@dataclass
class Config:
    """All settings of a run. Unknown keys fail at composition.

    At run time a ``cfg: Config`` is the OmegaConf object that Hydra composed with this schema, never an instance of the
    class: it has these fields, and functions on whole configurations (skufp.config, OmegaConf) accept it.
    """

    stage: str = "evaluate"
    seed: int = 0  # of all random numbers; stages derive their seeds from it
    fingerprint_seed: int = 0
    runs: str = "runs"
    cache: str = "cache"
    upstream: str = "run"
    export_to: str | None = None
    workers: int | None = None
    threads: int | None = None
    progress: bool = True  # show progress bars
    data: Data = MISSING
    model: Model = MISSING
    aggregator: Settings = MISSING
    loss: Loss = MISSING
    augmenter: Augmenter = MISSING
    judge: Model = MISSING
    views: Views = field(default_factory=Views)
    policy: Policy = field(default_factory=Policy)
    actions: Actions = MISSING
    index: Index = MISSING
    trainer: Trainer = field(default_factory=Trainer)
    logger: Settings = MISSING
    vocabulary: Settings = MISSING
    llm: Settings = MISSING
    shop: Shop = field(default_factory=Shop)
    query: Query = field(default_factory=Query)
    stages: Settings = MISSING
    ablation: str = "none"  # name of the chosen ablation, for tables
    debug: str = "none"  # name of the chosen debug run


def data_label(root: str | None, manifest: str | None, name: str) -> str:
    """Return the name of the data's folder: of ``root``, or of ``manifest``'s folder; else ``name``."""
    if not root and not manifest:
        return name
    folder = Path(root) if root else Path(str(manifest)).parent
    return folder.resolve().name or name


def stage_list(stages: Iterable[str]) -> str:
    """Return the paragraph of the help text that lists the composed stages; further lines are indented."""
    return textwrap.fill(f"Stages: {', '.join(stages)}", width=110, subsequent_indent="  ")


def register_schema() -> None:
    """Register the schema with Hydra, so that `conf/config.yaml` is checked against it, and some resolvers.

    ``${pid:}``: the process id, which separates the folders of two sweeps that start in the same second.
    ``${vocabulary_lists:name}``: the file of the lists of that name in the configuration's folder.
    ``${data_label:root,manifest,name}``: the data's name, from its folder.
    ``${given:value}``: whether a setting is not empty.
    ``${stage_list:stages}``: the names of the composed stages, for the help text.
    ``${with_stage:needs,stage,wanted}``: the stages ``needs``, and ``stage`` too where ``wanted`` is not empty.
    """
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    OmegaConf.register_new_resolver("pid", os.getpid, replace=True)
    OmegaConf.register_new_resolver(
        "vocabulary_lists", lambda name: str(config_folder() / "vocabulary" / f"{name}.lists.yml"), replace=True
    )
    OmegaConf.register_new_resolver("data_label", data_label, replace=True)
    OmegaConf.register_new_resolver("given", bool, replace=True)
    OmegaConf.register_new_resolver("stage_list", stage_list, replace=True)
    OmegaConf.register_new_resolver(
        "with_stage", lambda needs, stage, wanted: [*needs, *([stage] if wanted else [])], replace=True
    )
