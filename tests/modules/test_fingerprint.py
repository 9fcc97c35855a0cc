"""The Fingerprint module on clustered random data, through a real Trainer."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from skufp.artifacts.folder import write_json
from skufp.callbacks.random_state import RandomState
from skufp.callbacks.retrieval import FaissRetrieval
from skufp.data.shards import INDEX, write_sku_shards
from skufp.data.sku_collate import META
from skufp.data.sku_datamodule import SkuDataModule
from skufp.modules.fingerprint import Fingerprint

SKUS, VIEWS, DIM, BATCH = 24, 4, 16, 8
SETTINGS: dict[str, Any] = {
    "aggregator": {"_target_": "skufp.models.aggregators.attention.Attention", "heads": 2, "depth": 1, "dropout": 0.0},
    "loss": {"name": "test", "weights": {"distill": 1.0, "contrastive": 1.0}, "temperature": 0.1},
    "lr": 1e-2, "weight_decay": 0.01, "warmup": 0.1, "steps": 30, "dim": DIM,
}  # fmt: skip


class Clusters(pl.LightningDataModule):
    """SKUs whose first view (marked by its viewpoint) is where the queries are; the others mislead."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.views = F.normalize(torch.randn(SKUS, VIEWS, DIM, generator=generator), dim=-1)
        noise = torch.randn(SKUS, 2, DIM, generator=generator)
        self.queries = F.normalize(self.views[:, :1] + 0.1 * noise, dim=-1)
        self.meta = torch.zeros(SKUS, VIEWS, 4, dtype=torch.long)
        self.meta[:, 0, 0] = 2
        self.bank = F.normalize(self.views.mean(dim=1), dim=-1).numpy()
        self.bank_pairs = (torch.arange(SKUS) // 2).numpy()

    def batch(self, number: int) -> dict[str, Any]:
        rows = torch.randperm(SKUS, generator=torch.Generator().manual_seed(number))[:BATCH]
        mask = torch.ones(BATCH, VIEWS, dtype=torch.bool)
        return {
            "views": self.views[rows], "mask": mask, "all_views": mask, "meta": self.meta[rows],
            "queries": self.queries[rows].reshape(-1, DIM), "query_target": torch.arange(BATCH).repeat_interleave(2),
            "query_teacher": self.views[rows, 0].repeat_interleave(2, dim=0),
            "query_teacher_weight": torch.ones(2 * BATCH),
            "bank_index": rows, "teacher": self.views[rows, 0], "teacher_weight": torch.ones(BATCH),
            "sku_id": [f"sku-{i}" for i in rows.tolist()],
        }  # fmt: skip

    def train_dataloader(self) -> DataLoader:
        return DataLoader([self.batch(i) for i in range(30)], batch_size=None)  # type: ignore[arg-type]


class Losses(pl.Callback):
    """Keeps the loss of every step and the bank before the first."""

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.first_bank: Tensor = pl_module.bank.clone()  # type: ignore[operator]

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        self.values.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def _fit(data: Clusters, steps: int, seed: int = 0, **changes: Any) -> tuple[Fingerprint, Losses, pl.Trainer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, losses = Fingerprint(**(SETTINGS | changes)), Losses()
        trainer = pl.Trainer(
            accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[losses],
        )  # fmt: skip
        trainer.fit(module, data)
    return module, losses, trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fingerprint, Losses, Path]:
    module, losses, trainer = _fit(Clusters(), 30)
    path = tmp_path_factory.mktemp("fit") / "best.ckpt"
    trainer.save_checkpoint(path)
    return module, losses, path


def test_thirty_steps_lower_every_loss(trained: tuple[Fingerprint, Losses, Path]) -> None:
    values = trained[1].values
    assert len(values) == 30
    for name in ("train/loss", "train/distill_loss", "train/contrastive_loss"):
        first, last = (sum(v[name] for v in part) / 5 for part in (values[:5], values[-5:]))
        assert last < 0.8 * first, name


def test_only_losses_with_a_weight_are_logged(trained: tuple[Fingerprint, Losses, Path]) -> None:
    for values in trained[1].values:
        assert set(values) == {"train/loss", "train/distill_loss", "train/contrastive_loss"}
        parts = values["train/distill_loss"] + values["train/contrastive_loss"]
        assert values["train/loss"] == pytest.approx(parts, rel=1e-5)


def test_it_beats_the_mean_on_its_queries(trained: tuple[Fingerprint, Losses, Path]) -> None:
    module, data = trained[0].eval(), Clusters()
    mask = torch.ones(SKUS, VIEWS, dtype=torch.bool)
    with torch.inference_mode():
        learnt = module(data.views, mask, data.meta)
    own = [float((data.queries * x[:, None]).sum(-1).mean()) for x in (learnt, torch.from_numpy(data.bank))]
    assert own[0] > own[1] + 0.1


@pytest.mark.parametrize("name", ["teacher_kl", "multi_vector_kl", "margin", "triplet", "smooth_ap", "sup_ap",
                                  "recall_at_k", "listnet"])  # fmt: skip
def test_every_other_loss_is_lowered_too(name: str) -> None:
    loss = {"weights": {name: 1.0}, "temperature": 0.1, "rank_temperature": 0.05, "margin": 0.2}
    values = _fit(Clusters(), 30, loss=loss)[1].values
    first, last = (sum(v[f"train/{name}_loss"] for v in part) / 5 for part in (values[:5], values[-5:]))
    assert last < 0.9 * first


def test_bank_starts_as_the_mean_and_follows_the_fingerprints(trained: tuple[Fingerprint, Losses, Path]) -> None:
    module, losses, _ = trained
    data = Clusters()
    assert torch.allclose(losses.first_bank, torch.from_numpy(data.bank))
    assert torch.allclose(module.bank.norm(dim=1), torch.ones(SKUS), atol=1e-5)
    assert not module.bank.requires_grad
    similar = (module.bank * data.views[:, 0]).sum(dim=1).mean()
    assert similar > (losses.first_bank * data.views[:, 0]).sum(dim=1).mean()


def test_the_datas_means_stay_what_they_were() -> None:
    data = Clusters()
    before = data.bank.copy()
    module, *_ = _fit(data, 3)
    assert not torch.equal(module.bank, torch.from_numpy(before))
    assert (data.bank == before).all()


def test_the_seed_fixes_training() -> None:
    noisy = {"aggregator": SETTINGS["aggregator"] | {"dropout": 0.5}}
    first, again, other = (_fit(Clusters(), 3, seed, **noisy)[:2] for seed in (1, 1, 2))
    assert first[1].values == again[1].values != other[1].values
    weights, same = first[0].state_dict(), again[0].state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert torch.equal(first[0].bank, again[0].bank)


def test_checkpoint_explains_itself_without_pickles(trained: tuple[Fingerprint, Losses, Path]) -> None:
    module, _, path = trained
    checkpoint = torch.load(path, weights_only=True)
    settings = checkpoint["hyper_parameters"]
    assert {k: settings[k] for k in SETTINGS} == SETTINGS
    assert type(settings["aggregator"]) is dict
    assert not [k for k in checkpoint["state_dict"] if "bank" in k]
    again = Fingerprint(**{k: settings[k] for k in SETTINGS})
    again.load_state_dict(checkpoint["state_dict"])
    data, mask = Clusters(), torch.ones(SKUS, VIEWS, dtype=torch.bool)
    with torch.inference_mode():
        assert torch.equal(again.eval()(data.views, mask, data.meta), module.eval()(data.views, mask, data.meta))


def test_mean_has_nothing_to_learn() -> None:
    module = Fingerprint(**(SETTINGS | {"aggregator": {"_target_": "skufp.models.aggregators.pooling.Mean"}}))
    assert list(module.parameters()) == []
    batch = Clusters().batch(0)
    expected = F.normalize(batch["views"].mean(dim=1), dim=-1)
    assert torch.allclose(module(batch["views"], batch["mask"], batch["meta"]), expected, atol=1e-6)


def test_validation_hands_fingerprints_before_queries() -> None:
    batch = Clusters().batch(1)
    module = Fingerprint(**SETTINGS).eval()
    out = module.validation_step(batch, 0)
    assert torch.equal(out["vectors"][BATCH:], batch["queries"])
    assert torch.equal(out["vectors"][:BATCH], module(batch["views"], batch["mask"], batch["meta"]))
    assert out["is_query"].tolist() == [False] * BATCH + [True] * 2 * BATCH
    assert out["sku"] == batch["sku_id"] + [s for s in batch["sku_id"] for _ in range(2)]


# ---- A killed run that goes on is the same run ----

STEPS, CHECK = 12, 4


class Killed(BaseException):
    """As if the machine went down."""


class Kill(pl.Callback):
    """Kills the run in the middle of a stretch between two checkpoints."""

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        if trainer.global_step == 2 * CHECK + 2:
            raise Killed


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the embed stage leaves of the clusters: all are train SKUs, ten are dev SKUs too."""
    folder, data = tmp_path_factory.mktemp("embed"), Clusters()
    (folder / "shards").mkdir()
    index = {}
    for split, count in (("train", SKUS), ("dev", 10)):
        samples = []
        for i in range(count):
            meta: dict[str, Any] = {"sku_id": f"sku-{i}", "pair_id": i // 2, "pools": ["held_out"] * 2}
            meta |= {name: data.meta[i, :, column].tolist() for column, name in enumerate(META)}
            meta |= {"view_ids": [f"{i}-{v}" for v in range(VIEWS)], "query_ids": [f"q{i}-0", f"q{i}-1"]}
            samples.append({"views": data.views[i].numpy(), "queries": data.queries[i].numpy(), "meta": meta})
        index[f"{split}-sku"] = write_sku_shards(folder / "shards", split, samples, 16)
    write_json(folder / "shards" / INDEX, index)
    return {"embed": str(folder)}


def _run(
    embedded: dict[str, str], folder: Path, validate: bool = False, best: bool = False, dropout: float = 0.0,
    batch: int = 10, killed: bool = False,
) -> tuple[Fingerprint, pl.Trainer]:  # fmt: skip
    """Train as stage=fingerprint does, from folder/last.ckpt if it is there.

    Checkpoints are written every so many steps; with ``best`` when dev queries have been ranked, as for keep=best.
    """
    last = folder / "last.ckpt"
    data = SkuDataModule(embedded, batch_size=batch, seed=0, view_dropout=0.3, steps=STEPS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Fingerprint(**SETTINGS | {"aggregator": SETTINGS["aggregator"] | {"dropout": dropout}, "steps": STEPS})
        checkpoint = ModelCheckpoint(
            folder, monitor="val/mrr" if best else None, mode="max", save_last=True,
            every_n_train_steps=None if best else CHECK, save_on_train_epoch_end=False,
        )  # fmt: skip
        trainer = pl.Trainer(
            accelerator="cpu", max_steps=STEPS, logger=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[FaissRetrieval(), RandomState(), checkpoint, *([Kill()] if killed else [])],
            num_sanity_val_steps=0, val_check_interval=CHECK, limit_val_batches=1.0 if validate or best else 0,
        )  # fmt: skip
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    return module, trainer


def _killed(embedded: dict[str, str], folder: Path, **changes: Any) -> dict[str, Any]:
    """Kill a run; return its last checkpoint."""
    with pytest.raises(Killed):
        _run(embedded, folder, killed=True, **changes)
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] in (CHECK, 2 * CHECK)  # keep=best: when dev was ranked best
    return checkpoint


def _same_weights(a: Fingerprint, b: Fingerprint) -> bool:
    weights, others = a.state_dict(), b.state_dict()
    return torch.equal(a.bank, b.bank) and all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="no dev"),
        pytest.param({"validate": True}, id="one batch of dev SKUs"),
        pytest.param({"validate": True, "batch": 4}, id="several batches of dev SKUs"),
        pytest.param({"dropout": 0.3}, id="dropout"),
        pytest.param({"dropout": 0.3, "validate": True}, id="dropout and dev SKUs"),
        pytest.param({"best": True}, id="keep=best"),
    ],
)
def test_a_killed_and_resumed_run_ends_with_the_same_weights(
    embedded: dict[str, str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole, _ = _run(embedded, tmp_path / "whole", **changes)
    _killed(embedded, tmp_path / "part", **changes)
    resumed, trainer = _run(embedded, tmp_path / "part", **changes)
    assert trainer.global_step == STEPS
    assert _same_weights(resumed, whole)


def test_a_run_resumed_without_its_bank_would_be_another(embedded: dict[str, str], tmp_path: Path) -> None:
    whole, _ = _run(embedded, tmp_path / "whole")
    checkpoint = _killed(embedded, tmp_path / "part")
    assert checkpoint["bank"].shape == (SKUS, DIM)
    means = torch.from_numpy(SkuDataModule(embedded, batch_size=8, seed=0).bank)
    assert not torch.allclose(checkpoint["bank"], means)
    torch.save({k: v for k, v in checkpoint.items() if k != "bank"}, tmp_path / "part" / "last.ckpt")
    resumed, _ = _run(embedded, tmp_path / "part")  # starts from the means again
    assert not _same_weights(resumed, whole)


def test_what_is_kept_after_training_holds_no_bank(embedded: dict[str, str], tmp_path: Path) -> None:
    module, trainer = _run(embedded, tmp_path / "run")
    trainer.strategy.connect(module.eval())
    trainer.save_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert "bank" not in kept
    assert not [name for name in kept["state_dict"] if "bank" in name]
