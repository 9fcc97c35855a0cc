"""Which weights a training stage leaves, through stages/fit: the best, the averaged, those of clipped gradients.

Legend: the weights that count are those that are saved and exported; what happens inside the run is not looked at.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from skufp.__main__ import config_folder
from skufp.artifacts.actions import ActionLabels, ActionNames, answers_table
from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.config import plain
from skufp.data.shards import INDEX, write_sku_shards
from skufp.data.sku_collate import META
from skufp.models.policy import load_policy
from skufp.modules.fingerprint import Fingerprint
from skufp.modules.policy import Policy
from skufp.schema import register_schema
from skufp.stages import fit
from skufp.stages.fit.proof import fit_without
from skufp.stages.fit.trainer import newest_checkpoint

DIM, VIEWS, PAIRS = 16, 4, 24
ACTIONS = ["identity", "exposure", "adapt"]
Inputs = dict[str, Path]


def composed(*overrides: str) -> DictConfig:
    register_schema()
    settings = ["trainer=cpu", "progress=false", "threads=1", "workers=1", *overrides]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", settings)


def fitted(inputs: Inputs, out: Path, *overrides: str) -> dict[str, torch.Tensor]:
    """Run a stage; return the weights of best.ckpt."""
    out.mkdir()
    with torch.random.fork_rng(devices=[]):
        fit.run(composed(*overrides), inputs, out)
    weights: dict[str, torch.Tensor] = torch.load(out / "best.ckpt", weights_only=True)["state_dict"]
    return weights


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def misled(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """SKUs whose train queries lie at the view with viewpoint 2, and whose dev queries lie at all other views.

    What is learnt of train is wrong about dev: the longer the training, the worse the dev metrics.
    """
    folder, rng = tmp_path_factory.mktemp("embed"), np.random.default_rng(0)
    (folder / "shards").mkdir()
    index = {}
    for split in ("train", "dev"):
        samples = []
        for number in range(PAIRS):
            views = unit(rng.normal(size=(VIEWS, DIM)))
            centre = views[0] if split == "train" else views[1:].mean(axis=0)
            meta: dict[str, Any] = {"split": split, "sku_id": f"sku-{number}", "pair_id": number, "style": 1}
            meta |= {"category_id": 1, "category_name": "skirt"} | {name: [0] * VIEWS for name in META}
            meta |= {"viewpoint": [2] + [0] * (VIEWS - 1), "view_ids": [f"{number}-{i}" for i in range(VIEWS)]}
            meta |= {"query_ids": [f"q{number}-{i}" for i in range(2)]}
            meta |= {"pools": ["held_out" if split == "train" else ""] * 2}
            queries = unit(unit(centre) + 0.2 * rng.normal(size=(2, DIM)))
            samples.append({"views": views, "queries": queries, "meta": meta})
        index[f"{split}-sku"] = write_sku_shards(folder / "shards", split, samples, 64)
        if split == "dev":
            np.save(folder / "dev_queries.npy", np.stack([s["queries"] for s in samples]))
    write_json(folder / "shards" / INDEX, index)
    return {"embed": folder}


FINGERPRINT = (
    "stage=fingerprint", "loss.prefix_dims=[]",
    "loss.weights={contrastive: 1, distill: 0, teacher_kl: 0, smooth_ap: 0}",
    "stages.fingerprint.datamodule.batch_size=8", "stages.fingerprint.steps=40", "stages.fingerprint.module.lr=0.02",
    "aggregator.module.dropout=0", "trainer.checks=8",
)  # fmt: skip


def dev_mrr(folder: Path, queries: np.ndarray) -> float:
    """The mean reciprocal rank [SKU, Q, D] by a naive loop over the fingerprints that a stage exported."""
    table = VectorTable.load(folder, "fingerprints.npy", "skus.parquet").where(split="dev")
    ids = table.column("sku_id").tolist()
    ranks = []
    for number, own in enumerate(queries):
        for query in own:
            scores = {sku: float(query @ vector) for sku, vector in zip(ids, table.vectors, strict=True)}
            ranks.append(1 + sum(s > scores[f"sku-{number}"] for s in scores.values()))
    return float(np.mean([1 / r for r in ranks]))


def checked(folder: Path) -> list[float]:
    """The dev metric of every check during training, in order; the last row is that of the weights that are kept."""
    with (folder / "logs" / "attempt-0" / "metrics.csv").open() as file:
        return [float(row["val/mrr"]) for row in csv.DictReader(file) if row.get("val/mrr")][:8]


def test_the_best_weights_are_kept_and_exported_not_the_last(misled: Inputs, tmp_path: Path) -> None:
    queries = np.load(misled["embed"] / "dev_queries.npy")
    best = fitted(misled, tmp_path / "best", *FINGERPRINT, "stages.fingerprint.keep=best")
    last = fitted(misled, tmp_path / "last", *FINGERPRINT, "stages.fingerprint.keep=last")
    seen = checked(tmp_path / "best")
    assert seen == checked(tmp_path / "last")
    assert max(seen) > seen[-1] + 0.05, "the case is not one in which training goes on for too long"
    assert read_json(tmp_path / "best" / "metrics.json")["val/mrr"] == pytest.approx(max(seen))
    assert read_json(tmp_path / "last" / "metrics.json")["val/mrr"] == pytest.approx(seen[-1])
    assert dev_mrr(tmp_path / "best", queries) == pytest.approx(max(seen))
    assert dev_mrr(tmp_path / "last", queries) == pytest.approx(seen[-1])
    assert any(not torch.equal(best[name], last[name]) for name in best)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Labels of stage=actions: exposure helps where feature 0 is above 0."""
    folder, rng, count = tmp_path_factory.mktemp("actions"), np.random.default_rng(0), 80
    vectors, quality = rng.normal(size=(count, 5)), rng.normal(size=(count, 2)).astype(np.float32)
    rank = np.stack([np.full(count, 3), np.where(quality[:, 0] > 0, 1, 9), np.full(count, 3)], axis=1)
    queries = pa.table({
        "number": np.arange(count), "split": ["train"] * 60 + ["dev"] * 20, "twin": [False] * count,
        "view_id": [f"v{i}" for i in range(count)], "sku_id": [f"s{i}" for i in range(count)],
        "pair_id": np.arange(count), "image_path": [""] * count, "fold": [0] * 60 + [-1] * 20,
    })  # fmt: skip
    about = ActionNames(ACTIONS, {name: {"_target_": "x"} for name in ACTIONS[:2]}, ["light", "noise"], "mark")
    ActionLabels(queries, unit(vectors), quality, answers_table(rank, rank * 0.0, rank * 0.0, ACTIONS), about).save(
        folder
    )
    return {"actions": folder}


POLICY = ("stage=policy", "policy.training.lr=0.02", "policy.training.weight_decay=0", "policy.network.dropout=0")


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_the_average_of_weights_is_kept_and_exported(
    labels: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    """As by hand: the average starts from the first step's weights and takes 1 - decay of each later step's."""
    steps: list[dict[str, np.ndarray]] = []

    def look(self: Policy, *rest: Any) -> None:
        steps.append({name: p.detach().double().numpy().copy() for name, p in self.named_parameters()})

    monkeypatch.setattr(Policy, "on_train_batch_end", look)
    weights = fitted(labels, tmp_path / "out", *POLICY, "policy.training.steps=6", f"stages.policy.ema={decay}")
    assert len(steps) == 6
    exported = dict(load_policy(tmp_path / "out").named_parameters())
    for name, average in steps[0].items():
        for later in steps[1:]:
            average = decay * average + (1 - decay) * later[name]
        np.testing.assert_allclose(weights[name].numpy(), average, atol=1e-6)
        np.testing.assert_allclose(exported[name.removeprefix("network.")].detach().numpy(), average, atol=1e-6)
        assert abs(average - steps[-1][name]).max() > 1e-4 or not average.any(), "the average is the last step's"


def moved(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """The largest change of a weight; the threshold, which is calibrated and not trained, aside."""
    return max(float((first[n] - second[n]).abs().max()) for n in first if n != "network.threshold")


def test_gradients_are_clipped_to_the_norm_that_the_stage_says(labels: Inputs, tmp_path: Path) -> None:
    """Adam divides a gradient by its own size: only one far below Adam's epsilon of 1e-8 leaves weights alone."""
    one = fitted(labels, tmp_path / "one", *POLICY, "policy.training.steps=1", "stages.policy.clip=1e-13")
    ten = fitted(labels, tmp_path / "ten", *POLICY, "policy.training.steps=10", "stages.policy.clip=1e-13")
    free = fitted(labels, tmp_path / "free", *POLICY, "policy.training.steps=10", "stages.policy.clip=1")
    assert moved(one, ten) < 1e-5
    assert moved(one, free) > 1e-2


def test_the_fits_of_the_proof_are_clipped_as_the_stage_is(misled: Inputs) -> None:
    inputs = {name: str(path) for name, path in misled.items()}
    weights = []
    for steps, clip in ((1, 1e-13), (10, 1e-13), (10, 1.0)):
        cfg = composed(*FINGERPRINT, "stages.fingerprint.module.weight_decay=0", f"stages.fingerprint.clip={clip}",
                       f"stages.fingerprint.steps={steps}")  # fmt: skip
        module, _ = fit_without(cfg, plain(cfg.stages.fingerprint), inputs, (0, 2))
        assert isinstance(module, Fingerprint)
        weights.append({f"network.{n}": p.detach() for n, p in module.named_parameters()})
    assert moved(weights[0], weights[1]) < 1e-5
    assert moved(weights[0], weights[2]) > 1e-2


def test_a_cut_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the step in its name, not by its time, the newest that can be read."""
    for step in (9, 10, 100):
        torch.save({"global_step": step, "noise": torch.randn(1000)}, tmp_path / f"resume-step={step}.ckpt")
    assert newest_checkpoint(tmp_path) == tmp_path / "resume-step=100.ckpt"
    for step, left in ((100, 10), (10, -60)):
        path = tmp_path / f"resume-step={step}.ckpt"
        path.write_bytes(path.read_bytes()[:left])
    assert newest_checkpoint(tmp_path) == tmp_path / "resume-step=9.ckpt"
    assert "resume-step=100.ckpt cannot be read" in capsys.readouterr().out
    (tmp_path / "resume-step=9.ckpt").write_bytes(b"")
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None
