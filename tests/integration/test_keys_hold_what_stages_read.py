"""Every setting that a stage reads while it runs is in its key, or in the key of a stage that it stands on.

Stages run as the command line runs them, and each access to the configuration is recorded. What is read and in no key
must be declared here as changing no result, with the reason.
"""

import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from skufp import pipeline
from skufp.pipeline import Planned, upstream

REPOSITORY = Path(__file__).resolve().parents[2]
NO_RESULT = {
    "workers": "how many processes share the work",
    "threads": "how many threads share the work",
    "progress": "what the terminal shows",
    "cache": "where finished work is kept by its content",
    "logger": "where curves are drawn",
    "trainer.accelerator": "where the work is done; what it decides (training.towers) is resolved before",
    "trainer.devices": "batches are global: how many devices share them",
    "trainer.strategy": "how devices share a batch",
    "trainer.checks": "how often dev queries are looked at; in the key where keep=best watches them",
    "model.batch_size": "photos encoded at a time, without gradients",
    "judge.batch_size": "photos encoded at a time, without gradients",
    "stages.actions.part_photos": "photos written at a time",
    "stages.views.part_skus": "SKUs written at a time",
    "llm.concurrency": "requests at a time",
    "llm.timeout": "seconds until a server counts as away",
    "llm.retries": "tries where a server fails",
    "llm.backoff": "seconds between tries",
    "llm.patience": "failures in a row that stop the run",
    "model.pretrained": "search: a warning; the weights themselves are in the retriever's key",
    "data.root": "describe: the title of cards.html; what lies there is in prepare's key",
    "data.manifest": "describe: the title of cards.html; what lies there is in prepare's key",
}


class Reads:
    """The full names of the settings that each stage read, in the runs of this fixture's scope."""

    def __init__(self) -> None:
        self.by_stage: dict[str, set[str]] = defaultdict(set)
        self.steps: dict[str, tuple[Planned, list[Planned], DictConfig]] = {}
        self.job: DictConfig | None = None

    def note(self, job: DictConfig, container: Any, node: Any, key: Any) -> None:
        """Note a value or a list; of a group of settings, the values that are read in it."""
        if isinstance(node, list) or container._get_root() is not job:
            return
        if isinstance(container, ListConfig):
            self.by_stage[job.stage].add(container._get_full_key(None))
        elif node is not None and (not isinstance(node, DictConfig) or not len(node)):
            self.by_stage[job.stage].add(container._get_full_key(key))


@pytest.fixture(scope="module")
def reads() -> Iterator[Reads]:
    found = Reads()
    with pytest.MonkeyPatch.context() as patch:
        for kind in (DictConfig, ListConfig):

            def recorded(self: Any, key: Any, *args: Any, _original: Any = kind._get_node, **kwargs: Any) -> Any:
                node = _original(self, key, *args, **kwargs)
                job, found.job = found.job, None  # what the note itself reads is no read
                if job is not None:
                    found.note(job, self, node, key)
                found.job = job
                return node

            patch.setattr(kind, "_get_node", recorded)
        for path in sorted((REPOSITORY / "conf" / "stages").glob("*.yaml")):
            module = importlib.import_module(OmegaConf.load(path).run)

            def run(cfg: DictConfig, inputs: Any, out: Any, _original: Any = module.run) -> None:
                found.job = cfg
                try:
                    _original(cfg, inputs, out)
                finally:
                    found.job = None

            if module.run.__name__ == "run" and module.run.__module__ == module.__name__:
                patch.setattr(module, "run", run)
        original = pipeline.run_stage

        def run_stage(cfg: DictConfig, step: Planned, steps: list[Planned], console: Any) -> None:
            found.steps[step.name] = (step, steps, cfg)
            original(cfg, step, steps, console)

        patch.setattr(pipeline, "run_stage", run_stage)
        yield found


def targets(cfg: DictConfig, text: str) -> set[str]:
    """Return the settings that ``text`` takes its values from by ${…}, and those that they take theirs from."""
    found: set[str] = set()
    new = set(re.findall(r"\$\{([\w.]+)\}", text))
    while new:
        found |= new
        text = " ".join(raw(cfg, name) for name in new)
        new = set(re.findall(r"\$\{([\w.]+)\}", text)) - found
    return found


def raw(cfg: DictConfig, name: str) -> str:
    """Return the setting ``name`` as it was written, with its ${…}."""
    parent, _, key = name.rpartition(".")
    group = OmegaConf.select(cfg, parent) if parent else cfg
    node = None if group is None else group._get_node(key, validate_access=False)
    return OmegaConf.to_yaml(node) if isinstance(node, DictConfig | ListConfig) else str(node and node._value())


def in_keys(step: Planned, steps: list[Planned], cfg: DictConfig) -> set[str]:
    """Return the settings in the key of ``step`` or of one that it stands on, and those in its folder's name."""
    found: set[str] = set()
    for name in {step.name, *upstream(step, steps)}:
        spec = cfg.stages[name]
        uses = [*spec.uses, *pipeline.also_uses(pipeline.stage_module(cfg, name), cfg, spec), *spec.get("outside", [])]
        own = [key for key in spec if key != "label" or name == step.name]
        text = " ".join(raw(cfg, key) for key in [*(f"stages.{name}.{key}" for key in own), *uses])
        found |= {*uses, f"stages.{name}", *targets(cfg, text)}
    return found | {"stage"}


def uncovered(reads: Reads, stage: str) -> set[str]:
    step, steps, cfg = reads.steps[stage]
    covered = in_keys(step, steps, cfg) | set(NO_RESULT)
    return {
        name for name in reads.by_stage[stage] if not any(name == c or name.startswith(f"{c}.") for c in covered)
    }  # fmt: skip


TINY = (
    "model=siglip_tiny",
    "data.source.pairs={train: 8, validation: 4, test: 3}", "model.training.steps=2", "stages.fingerprint.steps=2",
    "model.training.skus_per_batch=8", "stages.evaluate.bootstrap=5", "trainer=cpu", "progress=false", "workers=1",
)  # fmt: skip
MADE = ("views=dit", "judge=siglip_tiny", "judge.training.steps=0", "augmenter.training.steps=2",
        "views.generator.steps=2", "views.rounds=1")  # fmt: skip
COMMANDS = [
    ("stage=evaluate",),
    ("stage=cluster",),
    ("stage=bundle",),
    pytest.param(("stage=describe",), marks=pytest.mark.slow),
    pytest.param(("--image", "{photo}", "query.filter.colour=red"), marks=pytest.mark.slow),
    pytest.param(("--image", "{photo}", "stage=describe"), marks=pytest.mark.slow),
    pytest.param(("stage=evaluate", "model=lite", "model.encoder.image_size=64"), marks=pytest.mark.slow),
    pytest.param(("stage=policy_report", "policy.training.steps=2"), marks=pytest.mark.slow),
    pytest.param(("--image", "{photo}", "policy=default", "policy.training.steps=2"), marks=pytest.mark.slow),
    pytest.param(("stage=embed", *MADE), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_key_holds_every_setting_that_its_stage_reads(arguments, reads, house, command) -> None:
    photo = next(iter(sorted(house.glob("runs/prepare/*/validation/query/*/*.jpg"))), "")
    reads.by_stage.clear()
    result = command(house, *TINY, *(a.format(photo=photo) for a in arguments))
    assert result.code == 0, result.out + result.err
    assert reads.by_stage
    assert {stage: found for stage in reads.by_stage if (found := uncovered(reads, stage))} == {}


def test_what_changes_no_result_is_in_no_key() -> None:
    """The other way round: a setting that is declared to change nothing must not redo a stage."""
    for path in (REPOSITORY / "conf" / "stages").glob("*.yaml"):
        uses = OmegaConf.load(path).uses
        assert not {*uses} & set(NO_RESULT), path.name
