"""The policy in a bundle: it acts, knows its encoder, and takes its files along."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skufp
from skufp.actions.quality import FEATURES
from skufp.artifacts.folder import read_json
from skufp.errors import UserError
from skufp.models.adapter import Adapter
from skufp.models.policy import ActionPolicy
from skufp.modules.encoder_folder import encoder_marks
from skufp.serve.answer import Answer
from skufp.serve.assembly import Sources, assemble
from skufp.serve.query_policy import LearntPolicy, copy_policy


def learnt(folder: Path, mark: str, specs: dict[str, Any]) -> None:
    """A policy that always expects most of exposure, and an adapter that changes nothing."""
    network = ActionPolicy(["identity", "exposure", "adapt"], FEATURES, 16, specs, mark, members=2)
    network.price.copy_(torch.tensor([0.0, -0.5, 1.0]))
    network.threshold.fill_(0.1)
    folder.mkdir()
    network.save(folder)
    Adapter.unchanged(16).save(folder)


SPECS = {
    "identity": {"_target_": "skufp.actions.identity.Identity"},
    "exposure": {"_target_": "skufp.actions.exposure.Exposure"},
}


def test_the_policy_of_the_bundle_acts(sources: Sources, tmp_path: Path) -> None:
    learnt(tmp_path / "policy", encoder_marks(sources.encoder)["fingerprint"], SPECS)
    stages = {**sources.stages, "policy": tmp_path / "policy", "actions": tmp_path / "policy"}
    assemble(Sources(stages, sources.gallery), tmp_path / "bundle", ["thumbnails"])
    shutil.rmtree(tmp_path / "policy")
    dark = np.random.default_rng(0).integers(0, 90, (40, 30, 3)).astype(np.uint8)
    found = skufp.open(tmp_path / "bundle").search(image=dark, top_k=1)
    assert isinstance(found, Answer)
    assert (found.action, found.predicted_gain) == ("exposure", pytest.approx(0.5))
    assert np.asarray(found.edited).mean() > 1.2 * dark.mean()
    again = skufp.open(tmp_path / "bundle")
    again.engine.policy = None
    (plain,) = again.answer([found.edited], [], 1)  # type: ignore[list-item]
    assert plain.results == found.results


def test_a_policy_of_another_encoder_is_refused_at_once(sources: Sources, tmp_path: Path) -> None:
    learnt(tmp_path / "policy", "another mark", SPECS)
    stages = {**sources.stages, "policy": tmp_path / "policy", "actions": tmp_path / "policy"}
    assemble(Sources(stages, sources.gallery), tmp_path / "bundle", ["thumbnails"])
    with pytest.raises(UserError, match=r"policy was built with another encoder \(another mark"):
        skufp.open(tmp_path / "bundle")


def test_the_files_that_actions_read_move_with_the_policy(tmp_path: Path) -> None:
    (tmp_path / "people.onnx").write_bytes(b"a network")
    selfie = {"_target_": "skufp.actions.background.Background", "method": "selfie",
              "weights": str(tmp_path / "people.onnx")}  # fmt: skip
    learnt(tmp_path / "policy", "mark", {"identity": SPECS["identity"], "exposure": selfie})
    copy_policy(tmp_path / "policy", tmp_path / "policy", tmp_path / "out")
    (tmp_path / "people.onnx").unlink()
    assert (tmp_path / "out" / "exposure-people.onnx").read_bytes() == b"a network"
    assert read_json(tmp_path / "out" / "policy.json")["specs"]["exposure"]["weights"] == "exposure-people.onnx"
    with pytest.raises(UserError, match=r"out/exposure-people\.onnx"):  # found there, and no network
        LearntPolicy(tmp_path / "out", Adapter.load(tmp_path / "out"), "mark")
