"""The Augmenter module: its loss by hand, what trains and what never does, precision, and a killed run that goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from skufp.__main__ import config_folder
from skufp.artifacts.records import CATALOG, CropRecord, write_records
from skufp.callbacks.random_state import RandomState
from skufp.callbacks.samples import SampleGrid
from skufp.config import build, plain
from skufp.data.pair_datamodule import PairDataModule
from skufp.data.shards import write_image_shards
from skufp.errors import UserError
from skufp.models.dit import CONDITIONS
from skufp.models.flow import gaussian_velocity, interpolate
from skufp.models.preprocessing import Preprocessing
from skufp.models.siglip import tiny_siglip
from skufp.models.view_sampler import ViewSampler
from skufp.modules.augmenter import Augmenter
from skufp.modules.encoder_folder import save_encoder
from skufp.schema import register_schema

SIDE, PAIRS = 16, 6
COSINES = {"_target_": "skufp.models.cosines.Cosines"}
RECIPE = {
    "lr": 3e-3, "weight_decay": 0.01, "warmup": 0.1, "time_centre": 0.0, "time_spread": 1.0, "drop": {"tokens": 0.1},
    "gradient_checkpointing": False,
}  # fmt: skip
Make = Callable[..., Augmenter]
Batch = dict[str, Any]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(tiny_siglip(16, 8, 16, 1, 2), folder)
    return folder


@pytest.fixture(scope="module")
def make(encoder: Path) -> Make:
    """Return an Augmenter; equal settings give equal weights. ``awake`` gives its zero layers weights."""

    def make(predicts: str = "change", awake: bool = False, **changes: Any) -> Augmenter:
        network = {"size": "tiny", "patch": 1, "predicts": predicts}
        settings = {
            "network": network,
            "latents": COSINES,
            "actions": ["front", "back"],
            "image_size": SIDE,
            "steps": 30,
        }
        recipe = RECIPE | changes.pop("recipe", {})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = Augmenter(**settings | {"training": recipe, "encoder_folder": str(encoder)} | changes)
            if awake:
                for parameter in module.network.parameters():
                    parameter.data.add_(0.05 * torch.randn_like(parameter))
        module.log = lambda *rest, **named: None  # type: ignore[method-assign,assignment]
        return module

    return make


def _batch() -> Batch:
    """Pairs of coloured pictures; the target is the draft a little darker, with a bar across for kind 1.

    The draft is the source with a black corner.
    """
    generator = torch.Generator().manual_seed(1)
    source = (torch.rand(PAIRS, 3, 1, 1, generator=generator) * 1.6 - 0.8).expand(-1, 3, SIDE, SIDE).clone()
    kind = torch.arange(PAIRS) % 2
    draft = source.clone()
    draft[:, :, :4, :4] = -1.0
    target = draft - 0.2
    target[kind == 1, :, 6:10] = 0.9
    return {"source": source, "draft": draft, "target": target, "encoder_pixels": source, "view_kind": kind}


def _fixed(module: Augmenter, batch: Batch) -> tuple[Tensor, Tensor]:
    """Times and noise that do not change from call to call."""
    shape = module.latents.encode(batch["target"]).shape
    return torch.linspace(0.1, 0.9, len(batch["view_kind"])), torch.randn(
        shape, generator=torch.Generator().manual_seed(2)
    )


def _loss(module: Augmenter, batch: Batch) -> Tensor:
    times, noise = _fixed(module, batch)
    return module.loss(batch, times, noise=noise)


def _trainer(steps: int, *callbacks: pl.Callback, **settings: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    if not callbacks:
        quiet["enable_checkpointing"] = False
    return pl.Trainer(accelerator="cpu", max_steps=steps, callbacks=list(callbacks), **quiet | settings)


def test_the_untrained_loss_by_hand(make: Make) -> None:
    module, batch = make("velocity"), _batch()
    times, noise = _fixed(module, batch)
    target = module.latents.encode(batch["target"])  # an untrained network says 0
    assert float(_loss(module, batch)) == pytest.approx(float((noise - target).square().mean()), rel=1e-5)

    module = make("change")
    module.initialise([batch])
    draft = module.latents.encode(batch["draft"])
    torch.testing.assert_close(
        module.network.change, (target - draft).square().mean(dim=(0, 2, 3)).sqrt().clamp_min(1e-3)
    )
    expected, _ = gaussian_velocity(
        interpolate(target, noise, times), times, draft, module.network.change[:, None, None]
    )
    assert float(_loss(module, batch)) == pytest.approx(float((expected - (noise - target)).square().mean()), rel=1e-4)


@pytest.mark.parametrize("predicts", [pytest.param("velocity", marks=pytest.mark.slow), "change"])
def test_thirty_steps_on_one_batch_lower_its_loss(make: Make, predicts: str) -> None:
    module, batch = make(predicts), _batch()
    module.initialise([batch])
    before = float(_loss(module.eval(), batch))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _trainer(30).fit(module, DataLoader([batch] * 30, batch_size=None))  # type: ignore[arg-type]
    after = float(_loss(module.eval(), batch))
    assert np.isfinite([before, after]).all()
    assert after < 0.9 * before


def test_conditions_are_hidden_as_often_as_asked_and_no_others(make: Make) -> None:
    module, batch = make(recipe={"drop": {"source": 0.25, "draft": 0.5, "action": 1.0}}), _batch()
    seen: list[Tensor] = []
    module.network.register_forward_pre_hook(lambda network, given: seen.append(given[7]))
    many = {name: value.repeat_interleave(100, dim=0) for name, value in batch.items()}
    with torch.no_grad():
        module.training_step(many, 0)
    share = torch.cat(seen).float().mean(dim=0)
    shown = dict(zip(CONDITIONS, share.tolist(), strict=True))
    assert shown == {"source": pytest.approx(0.75, abs=0.06), "draft": pytest.approx(0.5, abs=0.07),
                     "tokens": 1.0, "pooled": 1.0, "action": 0.0}  # fmt: skip


def test_times_follow_the_recipe(make: Make) -> None:
    seen: list[Tensor] = []
    for centre in (-2.0, 2.0):
        module = make(recipe={"time_centre": centre, "time_spread": 0.1})
        module.network.register_forward_pre_hook(lambda network, given: seen.append(given[1]))
        module.training_step(_batch(), 0)
    early, late = seen
    assert early == pytest.approx(torch.sigmoid(torch.full((PAIRS,), -2.0)), abs=0.05)
    assert late == pytest.approx(torch.sigmoid(torch.full((PAIRS,), 2.0)), abs=0.05)


def test_validation_is_the_same_whenever_it_runs(make: Make) -> None:
    module, batch = make(awake=True).eval(), _batch()
    logged: list[float] = []
    module.log = lambda name, value, **named: logged.append(float(value))  # type: ignore[method-assign,assignment]
    for index in (0, 0, 1):
        torch.rand(3)  # whatever was drawn in between
        module.validation_step(batch, index)
    assert logged[0] == logged[1] != logged[2]


def test_an_unknown_condition_names_the_nearest(make: Make) -> None:
    with pytest.raises(UserError, match=r"augmenter\.training\.drop: there is no 'token'\. Did you mean 'tokens'\?"):
        make(recipe={"drop": {"token": 0.1}})


def test_a_network_that_does_not_fit_is_a_user_error(make: Make) -> None:
    network = {"size": "tiny", "patch": 3, "predicts": "change"}
    with pytest.raises(UserError, match=r"augmenter\.network: .*patch=3.*latents' side, 2"):
        make(network=network)


def test_missing_autoencoder_weights_are_a_user_error(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"augmenter\.pretrained=<folder>"):
        make(latents={"_target_": "skufp.models.latents.Taef2", "pretrained": str(tmp_path)})


def test_encoder_and_autoencoder_are_frozen_and_stay_in_evaluation_mode(make: Make, tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    layers = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "latent_channels": 3}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(**layers, **blocks).save_pretrained(tmp_path)
    module = make(latents={"_target_": "skufp.models.latents.Autoencoder", "pretrained": str(tmp_path)}, awake=True)
    frozen = {f"{part}.{n}": p for part in ("encoder", "latents") for n, p in getattr(module, part).named_parameters()}
    assert any(name.startswith("latents") for name in frozen)
    before = {name: p.clone() for name, p in frozen.items()}
    module.train()
    assert module.network.training
    assert not any(m.training for part in (module.encoder, module.latents) for m in part.modules())
    module.training_step(_batch(), 0).backward()
    assert all(p.grad is None and not p.requires_grad for p in frozen.values())
    assert all(p.grad is not None for p in module.network.parameters())
    batch = _batch()
    _trainer(2).fit(module, DataLoader([batch] * 2, batch_size=None))  # type: ignore[arg-type]
    assert all(torch.equal(p, before[name]) for name, p in frozen.items())
    assert not module.encoder.training
    assert not module.latents.training


def _gradients(module: Augmenter, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    module.train()
    loss = _loss(module, batch)
    loss.backward()
    return loss, [p.grad for p in module.network.parameters() if p.grad is not None]


def test_gradient_checkpointing_changes_neither_loss_nor_gradients(make: Make) -> None:
    usual, thrifty = make(awake=True), make(awake=True, recipe={"gradient_checkpointing": True})
    assert thrifty.network.gradient_checkpointing
    assert not usual.network.gradient_checkpointing
    (loss, gradients), (same, others) = (_gradients(module, _batch()) for module in (usual, thrifty))
    assert float(loss) == float(same)
    assert len(gradients) == len(others) > 50
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("predicts", ["velocity", "change"])
def test_bf16_steps_are_finite_and_near_those_of_float32(make: Make, predicts: str) -> None:
    batch = _batch()
    exact, rough = make(predicts, awake=True), make(predicts, awake=True)
    expected, _ = _gradients(exact, batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradients = _gradients(rough, batch)
        step = rough.training_step(batch, 0)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(expected), rel=0.05)
    assert all(g.isfinite().all() for g in gradients)
    assert step.isfinite()


def test_samples_are_decided_by_their_seed_and_what_is_given(make: Make) -> None:
    module, batch = make(awake=True).eval(), _batch()
    first, again, reseeded = (module.sample(batch, ViewSampler(3), seed) for seed in (0, 0, 1))
    assert first.shape == (PAIRS, 3, SIDE, SIDE)
    assert float(first.abs().max()) <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, reseeded)
    for name in ("source", "draft", "encoder_pixels", "view_kind"):
        other = module.sample(batch | {name: batch[name].flip(0)}, ViewSampler(3), 0)
        assert not torch.equal(first, other), name
    assert torch.equal(first, module.sample(batch | {"target": -batch["target"]}, ViewSampler(3), 0))


def test_samples_start_from_their_drafts(make: Make) -> None:
    """Untrained, a path about the draft without noise stays there; one from noise alone strays by the change."""
    module, batch = make().eval(), _batch()
    module.network.change.fill_(0.3)
    draft = module.latents.decode(module.latents.encode(batch["draft"]))
    near, far = (module.sample(batch, ViewSampler(20), 0, start) for start in (0.01, 1.0))
    assert float((near - draft).abs().max()) < 0.05
    assert float((far - draft).abs().mean()) > 0.1
    still = module.sample(batch, ViewSampler(20, temperature=0.0), 0, start=0.5)
    torch.testing.assert_close(still, draft, atol=1e-4, rtol=0)


# ---- A killed run that goes on is the same run ----

STEPS, CHECK = 9, 3
ACTIONS = {"front": {"viewpoint": [2]}, "back": {"viewpoint": [3]}}


class Killed(BaseException):
    """As if the machine went down."""


class Kill(pl.Callback):
    """Kills the run in the middle of a stretch between two checkpoints."""

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        if trainer.global_step == 2 * CHECK + 1:
            raise Killed


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder: eight train SKUs and two dev SKUs of three even pictures each."""
    root, records = tmp_path_factory.mktemp("prepared"), []
    for split, skus in (("train", 8), ("dev", 2)):
        for number in range(3 * skus):
            sku = f"{split}-{number // 3}"
            record = CropRecord(
                split=split, sku_id=sku, pair_id=number // 3, style=1, category_id=1, category_name="vest",
                domain=CATALOG, image_path=f"{split}/{number}.png", orig_image_path="", image_id=f"{split}{number}",
                item_idx=1, bbox=None, occlusion=1, viewpoint=2 + number % 2, text="",
            )  # fmt: skip
            records.append(record)
            (root / record.image_path).parent.mkdir(exist_ok=True)
            Image.new("RGB", (20, 24), (9 * number, 120, 255 - 9 * number)).save(root / record.image_path)
        write_records(root / f"{split}_image_text.jsonl", [r for r in records if r.split == split])
    write_image_shards(root, records, shard_size=100)
    return root


def _run(make: Make, catalogue: Path, folder: Path, *callbacks: pl.Callback) -> Augmenter:
    """Train as stage=augmenter does, from folder/last.ckpt if it is there."""
    last, module = folder / "last.ckpt", make(steps=STEPS)
    inputs = {"prepare": str(catalogue), "retriever": "unused"}
    data = PairDataModule(inputs, ACTIONS, SIDE, batch_size=4, seed=0, steps=STEPS, workers=0, val_pairs=4)
    data.attach(module)
    if not last.exists():
        module.initialise(data.first_batches())
    checkpoint = ModelCheckpoint(folder, save_last=True, every_n_train_steps=CHECK, save_on_train_epoch_end=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trainer = _trainer(
            STEPS, SampleGrid(2, steps=1), RandomState(), checkpoint, EMAWeightAveraging(decay=0.8), *callbacks,
            val_check_interval=CHECK, default_root_dir=folder, gradient_clip_val=1.0,
        )  # fmt: skip
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    assert trainer.global_step == STEPS
    return module


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_with_the_same_weights(make: Make, catalogue: Path, tmp_path: Path) -> None:
    whole = _run(make, catalogue, tmp_path / "whole")
    with pytest.raises(Killed):
        _run(make, catalogue, tmp_path / "part", Kill())
    assert torch.load(tmp_path / "part" / "last.ckpt", weights_only=True)["global_step"] == 2 * CHECK
    resumed = _run(make, catalogue, tmp_path / "part")
    weights, others, start = whole.state_dict(), resumed.state_dict(), make().state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert not torch.equal(weights["network.out.weight"], start["network.out.weight"])


# ---- The composed settings of real size ----


@pytest.fixture(scope="module")
def real_size(luma: Path, encoder: Path) -> Augmenter:
    """DiT-B/2 in TAEF2 latents of 256 x 256 pictures, as conf/augmenter/b2.yaml says."""
    folder = luma.parents[1] / "models" / "taef2"
    if not folder.is_dir():
        pytest.skip(f"the weights of TAEF2 are not there: {folder}")
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config", ["stage=augmenter", "augmenter=b2", f"augmenter.pretrained='{folder}'"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(plain(cfg.stages.augmenter.module), steps=20000, encoder_folder=str(encoder))


def test_the_real_size_composes_to_dit_b_2_in_taef2_latents(real_size: Augmenter) -> None:
    config: Any = real_size.network.config
    assert (config.size, config.patch, config.channels, config.side) == ("B", 2, 32, 32)
    assert (config.encoder_dim, config.token_dim, config.actions) == (16, 16, 4)
    assert real_size.network.gradient_checkpointing
    assert 120e6 < sum(p.numel() for p in real_size.network.parameters()) < 180e6
    assert all(not p.requires_grad for p in real_size.latents.parameters())


@pytest.mark.slow
def test_the_real_size_takes_a_training_step(real_size: Augmenter, luma: Path) -> None:
    photos = sorted((luma / "train" / "image").glob("*.jpg"))[:2]
    sized = [Image.open(p).convert("RGB") for p in photos]
    pixels = [torch.from_numpy(np.stack([Preprocessing(side)(p) for p in sized])) for side in (256, 16)]
    batch = {
        "source": pixels[0],
        "draft": pixels[0].flip(-1),
        "target": pixels[0].flip(0),
        "encoder_pixels": pixels[1],
        "view_kind": torch.tensor([0, 1]),
    }
    before = real_size.network.out.weight.clone()
    _trainer(1).fit(real_size, DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    assert not torch.equal(real_size.network.out.weight, before)
    assert all(p.isfinite().all() for p in real_size.network.parameters())
    with torch.no_grad():
        assert _loss(real_size, batch).isfinite()
