"""stage=policy as composed, through stages/fit: what it leaves, and a killed run that goes on."""

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from skufp.__main__ import config_folder
from skufp.artifacts.actions import ActionLabels, ActionNames, answers_table
from skufp.errors import UserError
from skufp.models.policy import load_policy
from skufp.modules.policy import Policy
from skufp.pipeline import plan
from skufp.schema import register_schema
from skufp.stages import fit
from skufp.stages.fit.trainer import newest_checkpoint

ACTIONS = ["identity", "exposure", "adapt"]
STEPS = 40


def _labels(folder: Path, train: int = 240, dev: int = 60, actions: list[str] = ACTIONS) -> dict[str, Path]:
    """Exposure takes rank 3 to 1 where feature 0 is above 0, else to 9; adapt does nothing."""
    folder.mkdir(exist_ok=True)
    rng, count = np.random.default_rng(0), train + dev
    vectors = rng.normal(size=(count, 5)).astype(np.float32)
    quality = rng.normal(size=(count, 2)).astype(np.float32)
    rank = np.stack([np.full(count, 3), np.where(quality[:, 0] > 0, 1, 9), np.full(count, 3)], axis=1)
    rank = rank[:, : len(actions)]
    queries = pa.table({
        "number": np.arange(count), "split": ["train"] * train + ["dev"] * dev, "twin": [False] * count,
        "view_id": [f"v{i}" for i in range(count)], "sku_id": [f"s{i // 2}" for i in range(count)],
        "pair_id": np.arange(count) // 4, "image_path": [""] * count, "fold": [0] * train + [-1] * dev,
    })  # fmt: skip
    about = ActionNames(actions, {name: {"_target_": "x"} for name in actions[:2]}, ["light", "noise"], "mark")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ActionLabels(queries, unit, quality, answers_table(rank, rank * 0.0, rank * 0.0, actions), about).save(folder)
    return {"actions": folder}


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    register_schema()
    settings = ["stage=policy", "trainer=cpu", "progress=false", "threads=1", f"policy.training.steps={STEPS}",
                "policy.training.lr=0.02", "policy.training.weight_decay=1", *overrides]  # fmt: skip
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", settings)


def _run(inputs: dict[str, Path], out: Path, *overrides: str) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        fit.run(_composed(*overrides), inputs, out)
    return {name: json.loads((out / f"{name}.json").read_text()) for name in ("metrics", "policy", "calibration")
            if (out / f"{name}.json").exists()}  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return _labels(tmp_path_factory.mktemp("actions"))


@pytest.fixture(scope="module")
def whole(labels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("policy")
    _run(labels, out)
    return out


def test_it_leaves_a_policy_that_acts_and_says_why(whole: Path) -> None:
    calibration = json.loads((whole / "calibration.json").read_text())
    assert calibration["acts"]
    assert calibration["queries"] == 300
    assert calibration["skus"] == 150
    assert 0.3 < calibration["gain"] < 0.6  # log 3 for half of the queries, and what is wrongly edited
    policy = load_policy(whole)
    assert float(policy.threshold) == pytest.approx(calibration["threshold"])
    assert policy.actions == ACTIONS
    assert torch.allclose(policy.price, torch.tensor([0.0, 0.02, 0.0]))
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["steps"] == STEPS
    assert metrics["val/loss"] < 0.5 * metrics["val/loss_of_nothing"]
    assert metrics["val/gain"] > 0.3
    assert 0.3 < metrics["val/act_rate"] < 0.7
    assert not (whole / "checkpoints").exists()


class Killed(BaseException):
    """As if the machine went down."""


@pytest.mark.parametrize("when", ["training", "calibration"])
def test_a_killed_and_resumed_run_ends_with_the_same_weights_and_threshold(
    labels: dict[str, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def kill(self: Policy, *rest: Any) -> None:
        if when == "calibration" or self.trainer.global_step == STEPS // 2 + 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "on_train_batch_end" if when == "training" else "on_train_end", kill)
        with pytest.raises(Killed):
            _run(labels, tmp_path / "part")
    last = torch.load(newest_checkpoint(tmp_path / "part" / "checkpoints"), weights_only=True)
    assert last["global_step"] == (STEPS // 2 if when == "training" else STEPS)
    _run(labels, tmp_path / "part")
    ends = [torch.load(folder / "best.ckpt", weights_only=True)["state_dict"] for folder in (whole, tmp_path / "part")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert math.isfinite(ends[1]["network.threshold"])
    name = "policy.safetensors"
    assert (whole / name).read_bytes() == (tmp_path / "part" / name).read_bytes()


def test_labels_of_other_actions_are_refused_by_a_run_that_goes_on(
    labels: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(self: Policy) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "on_train_end", kill)
        with pytest.raises(Killed):
            _run(labels, tmp_path / "out")
    others = _labels(tmp_path / "actions", actions=["identity", "sharpen", "adapt"])
    with pytest.raises(UserError, match=r"trained with other actions \(identity, exposure, adapt\)"):
        _run(others, tmp_path / "out")


@pytest.mark.parametrize(("train", "dev", "actions"), [(0, 20, ACTIONS), (20, 0, ["identity"]), (8, 0, ACTIONS)])
def test_too_little_to_learn_from_ends_in_a_policy_that_never_acts(
    tmp_path: Path, train: int, dev: int, actions: list[str]
) -> None:
    _run(_labels(tmp_path / "actions", train, dev, actions), tmp_path / "out")
    policy = load_policy(tmp_path / "out")
    assert math.isinf(policy.threshold)
    assert not policy.decide(torch.randn(9, 5), torch.randn(9, 2)).any()


def _key(cfg: DictConfig, **changes: Any) -> str:
    changed = cfg.copy()
    for name, value in changes.items():
        OmegaConf.update(changed, f"policy.{name}", value)
    return plan(changed)[-1].key


def test_the_stages_key_does_not_depend_on_what_search_does_with_it() -> None:
    default, fixed = _composed("policy=default"), _composed("policy=fixed", "policy.action=sharpen")
    assert _key(default) == _key(fixed)
    assert _key(default, false_positive_rate=0.5) != _key(default, price={"reencode": 0.5}) != _key(default)


def test_what_search_needs_follows_the_choice() -> None:
    assert "policy" in _composed("policy=default").policy.needs
    assert "policy" not in _composed("policy=none").policy.needs
    fixed = _composed("policy=fixed", "policy.action=sharpen").policy
    assert (fixed.action, fixed.name) == ("sharpen", "fixed")
    assert "policy" not in fixed.needs
