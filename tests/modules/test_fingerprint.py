"""The Fingerprint module on clustered random data, through a real Trainer."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

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
