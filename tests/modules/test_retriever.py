"""The Retriever module: its losses by hand, what it trains, and its checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from skufp.errors import UserError
from skufp.models.losses.contrastive import info_nce
from skufp.models.losses.sigmoid import sigmoid_loss
from skufp.modules.retriever import Retriever
from skufp.schema.models import Training

ENCODER = {"_target_": "skufp.models.siglip.tiny_siglip", "image_size": 16, "patch_size": 8, "width": 16, "depth": 1,
           "heads": 2, "seed": 0}  # fmt: skip


def _recipe(**changes: Any) -> dict[str, Any]:
    return asdict(Training(steps=12, lr=3e-3, head_lr=3e-3)) | changes


def _retriever(**changes: Any) -> Retriever:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Retriever(ENCODER, _recipe(**changes), steps=12)


def _batch(texts: bool = True) -> dict[str, Any]:
    """Four SKUs of four images each; every SKU has its own colour, two of them share a text."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.rand(4, 3, 1, 1, generator=generator) * 2 - 1
    pixels = colour.repeat_interleave(4, dim=0) + 0.1 * torch.randn(16, 3, 16, 16, generator=generator)
    names = ["a red vest", "a blue skirt", "a blue skirt", ""] if texts else [""] * 4
    distinct = ["a blue skirt", "a red vest"] if texts else []
    return {
        "pixels": pixels, "sku": torch.arange(4).repeat_interleave(4), "pair": torch.zeros(16, dtype=torch.long),
        "is_query": torch.tensor([True, True, False, False] * 4), "text": [n for n in names for _ in range(4)],
        "text_id": torch.tensor([distinct.index(n) if n in distinct else -1 for n in names for _ in range(4)]),
        "texts": distinct, "texts_id": torch.arange(len(distinct)),
    }  # fmt: skip


def _loss(module: Retriever, batch: dict[str, Any]) -> Tensor:
    module.log_dict = lambda *rest, **named: None  # type: ignore[method-assign,assignment]
    return module.training_step(batch, 0)


def test_image_loss_is_queries_against_catalogue_photos_of_all_skus() -> None:
    module, batch = _retriever(image_loss="sigmoid", text_weight=0.0, image_weight=2.0), _batch()
    images = module.encoder.encode_image(batch["pixels"])
    rows = [i for i in range(16) if i % 4 < 2]
    columns = [i for i in range(16) if i % 4 >= 2]
    positive = torch.tensor([[q // 4 == c // 4 for c in columns] for q in rows])
    encoder = module.encoder
    expected = sigmoid_loss(images[rows], images[columns], positive, encoder.logit_scale.exp(), encoder.logit_bias)
    assert float(_loss(module, batch)) == pytest.approx(2 * float(expected), rel=1e-5)


def test_text_loss_takes_equal_texts_as_one_and_leaves_photos_without_text_out() -> None:
    module, batch = _retriever(image_weight=0.0, text_weight=1.0), _batch()
    images, texts = (
        module.encoder.encode_image(batch["pixels"])[:12],
        module.encoder.encode_text(["a blue skirt", "a red vest"]),
    )
    positive = torch.tensor([[False, True]] * 4 + [[True, False]] * 8)
    encoder = module.encoder
    expected = sigmoid_loss(images, texts, positive, encoder.logit_scale.exp(), encoder.logit_bias)
    assert float(_loss(module, batch)) == pytest.approx(float(expected), rel=1e-5)


def _first(x: Tensor, size: int) -> Tensor:
    return x[:, :size] / x[:, :size].norm(dim=1, keepdim=True)


@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_with_prefix_dims_the_image_loss_is_the_mean_over_sizes(image_loss: str) -> None:
    recipe: dict[str, Any] = {"image_loss": image_loss, "text_weight": 0.0}
    module, batch = _retriever(**recipe, prefix_dims=[4, 8, 16, 64]), _batch()
    assert module.sizes == [16, 8, 4]
    images, query = module.encoder.encode_image(batch["pixels"]), batch["is_query"]
    positive = batch["sku"][query][:, None] == batch["sku"][~query][None, :]
    scale, bias = module.encoder.logit_scale.exp(), module.encoder.logit_bias
    expected = []
    for size in (16, 8, 4):
        a, b = _first(images[query], size), _first(images[~query], size)
        rest = (scale,) if image_loss == "info_nce" else (scale, bias)
        expected.append(float((info_nce if image_loss == "info_nce" else sigmoid_loss)(a, b, positive, *rest)))
    assert len(set(expected)) == 3
    assert float(_loss(module, batch)) == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert float(_loss(_retriever(**recipe), batch)) == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("moves", [True, False])
def test_with_prefix_dims_the_text_loss_is_the_mean_over_sizes(moves: bool) -> None:
    recipe: dict[str, Any] = {"image_weight": 0.0, "text_weight": 1.0, "text_moves_images": moves}
    module, batch = _retriever(**recipe, prefix_dims=[8, 4]), _batch()
    images = module.encoder.encode_image(batch["pixels"])[:12]
    texts = module.encoder.encode_text(["a blue skirt", "a red vest"])
    positive = torch.tensor([[False, True]] * 4 + [[True, False]] * 8)
    scale, bias = module.encoder.logit_scale.exp(), module.encoder.logit_bias
    expected = [
        float(sigmoid_loss(_first(images, size), _first(texts, size), positive, scale, bias)) for size in (16, 8, 4)
    ]
    assert float(_loss(module, batch)) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_texts_may_leave_the_images_where_they_are() -> None:
    for moves in (True, False):
        module = _retriever(image_weight=0.0, text_weight=1.0, text_moves_images=moves)
        _loss(module, _batch()).backward()
        moved = sum(
            float(p.grad.abs().sum()) for p in module.encoder.model.vision_model.parameters() if p.grad is not None
        )
        assert (moved > 0) is moves
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.encoder.model.text_model.parameters())


@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_a_batch_without_any_text_has_a_finite_loss(image_loss: str) -> None:
    loss = _loss(_retriever(image_loss=image_loss), _batch(texts=False))
    loss.backward()
    assert torch.isfinite(loss)


def test_photos_without_text_are_pushed_from_no_text() -> None:
    """The text loss has no gradient for them, and is what it would be if they were not there."""
    module, batch = _retriever(image_weight=0.0, text_weight=1.0), _batch()
    images = module.encode_image(batch["pixels"]).detach().requires_grad_()
    loss = module.text_loss(images, batch)
    loss.backward()
    assert (images.grad[12:] == 0).all()
    assert (images.grad[:12] != 0).any(dim=1).all()
    titled = batch | {"text_id": batch["text_id"][:12]}
    assert float(module.text_loss(images[:12], titled)) == pytest.approx(float(loss), rel=1e-6)


def test_a_batch_without_any_text_has_no_text_loss_and_moves_no_text_tower() -> None:
    module = _retriever()
    _loss(module, _batch(texts=False)).backward()
    assert all(p.grad is None for p in module.encoder.model.text_model.parameters())


@pytest.mark.parametrize("size", [1, 5, 16, 100])
def test_encoding_in_parts_has_the_gradients_of_the_whole_batch(size: int) -> None:
    whole, parts = _retriever(), _retriever(encode_at_once=size)
    losses = [_loss(module, _with_negatives()) for module in (whole, parts)]
    assert float(losses[1]) == pytest.approx(float(losses[0]), rel=1e-6)
    for loss in losses:
        loss.backward()
    named = dict(whole.named_parameters())
    assert sum(p.grad is not None for p in named.values()) > 10
    for name, parameter in parts.named_parameters():
        wanted = named[name].grad
        assert (parameter.grad is None) == (wanted is None), name
        if wanted is not None:
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-6)


class Steps(pl.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        self.values.append(float(trainer.callback_metrics["train/loss"]))


def _fit(module: Retriever) -> tuple[pl.Trainer, list[float]]:
    steps = Steps()
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=12, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[steps],
    )  # fmt: skip
    trainer.fit(module, DataLoader([_batch()] * 12, batch_size=None))  # type: ignore[arg-type]
    return trainer, steps.values


@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_a_few_steps_lower_the_loss_and_the_checkpoint_is_plain(tmp_path: Path, image_loss: str) -> None:
    module = _retriever(image_loss=image_loss)
    trainer, losses = _fit(module)
    assert losses[-1] < 0.9 * losses[0]
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    checkpoint = torch.load(tmp_path / "best.ckpt", weights_only=True)
    settings = checkpoint["hyper_parameters"]
    assert settings["encoder"] == ENCODER
    assert settings["training"] == _recipe(image_loss=image_loss)
    again = Retriever(settings["encoder"], settings["training"], settings["steps"])
    again.load_state_dict(checkpoint["state_dict"])
    pixels = _batch()["pixels"]
    with torch.inference_mode():
        assert torch.equal(module.encoder.encode_image(pixels), again.encoder.encode_image(pixels))


def test_frozen_towers_do_not_move() -> None:
    module = _retriever(towers="frozen")
    before = {k: v.clone() for k, v in module.encoder.state_dict().items()}
    _fit(module)
    moved = {k for k, v in module.encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"image_head.weight", "text_head.weight", "logit_scale", "logit_bias", "model.logit_scale",
                     "model.logit_bias"}  # fmt: skip


def test_heads_have_their_own_rate() -> None:
    module = _retriever(lr=1e-3, head_lr=7e-3)
    made = module.configure_optimizers()["optimizer"]
    rate = {id(p): g["initial_lr"] for g in made.param_groups for p in g["params"]}  # type: ignore[union-attr]
    assert rate[id(module.encoder.image_head.weight)] == 7e-3
    assert rate[id(module.encoder.logit_scale)] == 7e-3
    assert {rate[id(p)] for p in module.encoder.model.vision_model.parameters()} == {1e-3}


def test_validation_hands_vectors_with_their_rows() -> None:
    module, batch = _retriever().eval(), _batch()
    meta = [{"domain": ("query", "catalog")[i % 2], "sku_id": f"s{i // 4}"} for i in range(16)]
    out = module.validation_step({"pixels": batch["pixels"], "row": torch.arange(16), "meta": meta}, 0)
    assert out["is_query"].tolist() == [True, False] * 8
    assert out["sku"][5] == "s1"
    assert torch.equal(out["row"], torch.arange(16))
    assert torch.allclose(out["vectors"].norm(dim=1), torch.ones(16), atol=1e-5)


def test_missing_weights_are_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    encoder = {"_target_": "skufp.models.siglip.SiglipEncoder", "pretrained": "/nowhere/at-all"}
    with pytest.raises(UserError, match=r"model\.pretrained"):
        Retriever(encoder, _recipe(), steps=1)


# ---- Counterfactuals ----


def _with_negatives() -> dict[str, Any]:
    """Three pictures of nobody: one drawn from SKU 0, two from SKU 2."""
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return _batch() | {"negative_pixels": pixels, "negative_sku": torch.tensor([0, 2, 2])}


@pytest.mark.parametrize("prefix_dims", [[], [8]])
@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_counterfactuals_are_catalogue_pictures_of_nobody(image_loss: str, prefix_dims: list[int]) -> None:
    recipe: dict[str, Any] = {"image_loss": image_loss, "text_weight": 0.0, "prefix_dims": prefix_dims}
    module, batch = _retriever(**recipe), _with_negatives()
    images, nobody = (module.encoder.encode_image(batch[name]) for name in ("pixels", "negative_pixels"))
    rows, columns = ([i for i in range(16) if (i % 4 < 2) is query] for query in (True, False))
    positive = torch.tensor([[q // 4 == c // 4 for c in columns] + [False] * 3 for q in rows])
    counts = torch.tensor([[True] * 8 + [q // 4 == sku for sku in (0, 2, 2)] for q in rows])
    scale, bias = module.encoder.logit_scale.exp(), module.encoder.logit_bias
    expected = []
    for size in module.sizes:
        a, b = _first(images[rows], size), _first(torch.cat([images[columns], nobody]), size)
        if image_loss == "info_nce":
            expected.append(float(info_nce(a, b, positive, scale, counts)))
        else:
            expected.append(float(sigmoid_loss(a, b, positive, scale, bias, counts)))
    loss = _loss(module, batch)
    assert float(loss) == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert float(loss) > float(_loss(_retriever(**recipe), _batch()))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_a_batch_without_any_counterfactual_costs_the_very_same(image_loss: str) -> None:
    none = {"negative_pixels": torch.zeros(0, 3, 16, 16), "negative_sku": torch.zeros(0, dtype=torch.long)}
    losses = [_loss(_retriever(image_loss=image_loss), batch) for batch in (_batch(), _batch() | none)]
    assert torch.equal(*losses)
