"""What auto and -1 mean: on a machine without a GPU, and (the number of GPUs given) with some."""

import copy
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from skufp import resolve
from skufp.errors import UserError
from skufp.pipeline import plan
from skufp.resolve import resolve_devices, resolve_precision, resolve_strategy, resolved
from skufp.schema import register_schema

CONF = Path(__file__).resolve().parents[1] / "conf"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say how many GPUs this machine has."""
    return lambda count: monkeypatch.setattr(resolve, "gpu_count", lambda: count)


@cache
def _composed(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def _key(stage: str, *overrides: str) -> str:
    return plan(resolved(_composed(f"stage={stage}", *overrides)))[-1].key


@pytest.mark.parametrize(
    ("overrides", "count", "expected"),
    [
        ([], 0, ("cpu", 1, "auto", "32-true")),
        ([], 2, ("cuda", 1, "auto", "32-true")),
        (["trainer=cpu"], 2, ("cpu", 1, "auto", "32-true")),
        (["trainer=cpu", "trainer.devices=3"], 0, ("cpu", 3, "ddp", "32-true")),
        (["trainer=cpu", "trainer.devices=auto"], 2, ("cpu", 1, "auto", "32-true")),
        (["trainer=gpu"], 1, ("cuda", 1, "auto", "bf16-mixed")),
        (["trainer=gpu"], 2, ("cuda", 2, "ddp", "bf16-mixed")),
        (["trainer=gpu", "trainer.devices=[1]"], 2, ("cuda", [1], "auto", "bf16-mixed")),
        (["trainer.devices='0,1'"], 2, ("cuda", [0, 1], "ddp", "32-true")),
        (["trainer.precision=bf16"], 0, ("cpu", 1, "auto", "bf16-mixed")),
    ],
)
def test_trainer_settings_become_definite(gpus: Any, overrides: list[str], count: int, expected: Any) -> None:
    gpus(count)
    given = _composed(*overrides)
    before = OmegaConf.to_yaml(given)
    trainer = resolved(given).trainer
    assert (trainer.accelerator, trainer.devices, trainer.strategy, trainer.precision) == expected
    assert OmegaConf.to_yaml(given) == before


@pytest.mark.parametrize(("wanted", "expected"), [("auto", ("frozen", "full")), ("full", ("full", "full")),
                                                  ("frozen", ("frozen", "frozen"))])  # fmt: skip
def test_towers_go_by_the_accelerator_wherever_they_are_read(gpus: Any, wanted: str, expected: tuple[str, str]) -> None:
    gpus(1)
    for trainer, towers in zip(("cpu", "auto"), expected, strict=True):
        cfg = resolved(_composed("model=siglip", f"model.training.towers={wanted}", f"trainer={trainer}"))
        assert cfg.model.training.towers == cfg.stages.retriever.module.training.towers == towers


def test_keys_are_of_what_is_computed(gpus: Any) -> None:
    siglip = ("model=siglip", "model.pretrained=no/such")
    gpus(0)
    alone = _key("retriever", *siglip)
    assert alone == _key("retriever", *siglip, "trainer=cpu")
    assert alone == _key("retriever", *siglip, "model.training.towers=frozen", "trainer.precision=32")
    assert alone == _key("retriever", *siglip, "trainer=cpu", "trainer.devices=2")
    gpus(1)
    assert alone == _key("retriever", *siglip, "trainer=cpu")
    assert alone != _key("retriever", *siglip) == _key("retriever", *siglip, "model.training.towers=full")


def test_checks_are_in_the_key_where_the_best_weights_are_kept() -> None:
    best = "model.training.keep=best"
    assert _key("retriever") == _key("retriever", "trainer.checks=9")
    assert _key("retriever", best) != _key("retriever", best, "trainer.checks=9")
    assert _key("prepare", best) == _key("prepare", best, "trainer.checks=9")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=gpu"], "no GPU was found.*trainer=cpu"),
        (["trainer.accelerator=cudda"], "accelerator=cudda.*Did you mean 'cuda'"),
        (["trainer.accelerator=mps"], "no GPU was found"),
        (["trainer.devices=0"], "devices=0.*1 or more"),
        (["trainer.devices=-2"], "devices=-2"),
        (["trainer.devices=many"], "devices=many"),
        (["trainer.devices=[]"], r"devices=\[\]"),
        (["trainer.devices=[0]"], r"devices=\[0\].*a list names GPUs"),
        (["trainer.devices=1.5"], r"devices=1\.5"),
        (["trainer.devices=true"], "devices=True"),
        (["trainer.devices=null"], "devices=None"),
        (["trainer.strategy=dpp"], "strategy=dpp.*Did you mean 'ddp'"),
        (["trainer.precision=17"], "precision=17.*32-true"),
        (["trainer.precision=16"], "precision=16 needs a GPU"),
        (["trainer.checks=0"], "checks=0: give 1 or more"),
        (["trainer.checks=-3"], "checks=-3: give 1 or more"),
        (["model.training.towers=frozenn"], "model.training.towers=frozenn.*Did you mean 'frozen'"),
        (["judge.training.towers=all"], "judge.training.towers=all"),
        (["data.gallery=[validation,tset]"], "data.gallery: there is no split 'tset'. Did you mean 'test'"),
        (["data.gallery=[val]"], "data.gallery: there is no split 'val'. Did you mean 'validation'"),
        (["data.gallery=[]"], r"data.gallery=\[\]: name the splits"),
        (["data.queries=trial"], "data.queries: there is no split 'trial'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_that_mean_nothing_here_are_refused(gpus: Any, overrides: list[str], message: str) -> None:
    gpus(0)
    cfg = copy.deepcopy(_composed())
    for override in overrides:
        name, _, value = override.partition("=")
        if name == "trainer":
            cfg = _composed(override)
        else:
            OmegaConf.update(cfg, name, yaml.safe_load(value))
    with pytest.raises(UserError, match=f"(?s){message}"):
        resolved(cfg)


def test_gpus_are_counted() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(resolve, "gpu_count", lambda: 2)
    assert [resolve_devices(wanted, "cuda") for wanted in (1, 2, "2", -1, "auto", [1, 0], "0,")] == [
        1, 2, 2, 2, 2, [1, 0], [0],
    ]  # fmt: skip
    for wanted in (3, 0, [2], [0, 0], [-1], [], "0,x", None):
        with pytest.raises(UserError, match="this machine has 2 GPUs"):
            resolve_devices(wanted, "cuda")
    patch.undo()
    assert resolve_strategy("auto", [0]) == "auto"
    assert resolve_strategy("auto", [0, 1]) == resolve_strategy("auto", 2) == "ddp"
    assert resolve_precision("16", "cuda") == "16-mixed"


def test_torch_is_not_imported_where_there_is_no_driver() -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom skufp import resolve\n"
        "resolve.DRIVERS = ('/no/driver',)\n"
        "assert resolve.resolve_accelerator('auto') == 'cpu'\n"
        "resolve.DRIVERS = ('/dev/null',)\n"
        "assert resolve.resolve_accelerator('cpu') == 'cpu'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
