"""SigLIP and CLIP encoders: seeds, folders that any transformers user can load, frozen towers, missing weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from skufp.models.dual_encoder import WeightsMissingError
from skufp.models.siglip import HEADS, SiglipEncoder, byte_tokenizer, tiny_siglip

TEXTS = ["Red DRESS", "a user photo of a vest, not worn.", "naïve 中文 👗", ""]


def _tiny(seed: int = 0) -> SiglipEncoder:
    return tiny_siglip(32, 8, 32, 2, 2, seed).eval()


def _pixels(encoder: SiglipEncoder, count: int = 2) -> Tensor:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (50, 41, 3), np.uint8)) for _ in range(count)]
    return torch.from_numpy(np.stack([encoder.preprocessing(p) for p in pictures]))


def _encoded(encoder: SiglipEncoder) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return encoder.encode_image(_pixels(encoder)), encoder.encode_text(TEXTS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SiglipEncoder, Path]:
    """An encoder whose heads and logit parameters differ from their start, and the folder it was saved to."""
    encoder, folder = _tiny(), tmp_path_factory.mktemp("encoder")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for head in (encoder.image_head, encoder.text_head):
            head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * 0.2)
        encoder.logit_scale.fill_(3.25)
        encoder.logit_bias.fill_(-7.5)
    encoder.save(folder)
    return encoder, folder


def test_seed_fixes_the_weights() -> None:
    first, again, other = _tiny().state_dict(), _tiny().state_dict(), _tiny(1).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_making_one_does_not_disturb_the_global_generator() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        _tiny()
        assert torch.equal(torch.rand(3), expected)


def test_embeddings_have_unit_norm_and_tell_inputs_apart() -> None:
    images, texts = _encoded(_tiny())
    for encoded in (images, texts):
        assert encoded.shape[1] == 32
        assert torch.allclose(encoded.norm(dim=1), torch.ones(len(encoded)), atol=1e-5)
        assert not torch.allclose(encoded[0], encoded[1], atol=1e-4)


def test_texts_do_not_depend_on_their_neighbours_or_on_case() -> None:
    encoder = _tiny()
    with torch.inference_mode():
        together = encoder.encode_text(TEXTS)
        alone = encoder.encode_text([TEXTS[0].upper()])
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_logit_parameters_do_not_start_at_transformers_zeros() -> None:
    encoder = _tiny()
    assert float(encoder.logit_scale.exp()) >= 10 - 1e-3
    assert float(encoder.logit_bias) == -10.0


def test_saved_folder_gives_identical_embeddings(trained: tuple[SiglipEncoder, Path]) -> None:
    encoder, folder = trained
    loaded = SiglipEncoder(str(folder)).eval()
    for name, value in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    for ours, theirs in zip(_encoded(encoder), _encoded(loaded), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)  # weights mapped from a file may be summed in another order
    assert loaded.preprocessing == encoder.preprocessing
    assert float(loaded.logit_scale) == 3.25
    assert float(loaded.logit_bias) == -7.5


def test_saved_folder_opens_in_plain_transformers(trained: tuple[SiglipEncoder, Path]) -> None:
    encoder, folder = trained
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    assert isinstance(model, SiglipModel)
    assert processor.size["height"] == 32
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    ours = encoder.tokenizer(TEXTS, padding="max_length", truncation=True, max_length=32)["input_ids"]
    assert tokenizer(TEXTS, padding="max_length", truncation=True, max_length=32)["input_ids"] == ours


def test_no_pickles_in_the_saved_folder(trained: tuple[SiglipEncoder, Path]) -> None:
    names = {path.name for path in trained[1].iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", HEADS} <= names
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pkl", ".ckpt"))]


def test_untrained_heads_change_nothing() -> None:
    encoder = _tiny()
    pixels = _pixels(encoder)
    with torch.inference_mode():
        pooled = encoder.model.get_image_features(pixel_values=pixels).pooler_output
        assert torch.allclose(encoder.encode_image(pixels), torch.nn.functional.normalize(pooled, dim=-1), atol=1e-6)


def test_frozen_trains_only_heads_and_logits() -> None:
    encoder = _tiny()
    groups = encoder.parameter_groups("frozen")
    assert groups["towers"] == []
    trainable = {id(p) for p in encoder.parameters() if p.requires_grad}
    heads = [encoder.image_head.weight, encoder.text_head.weight, encoder.logit_scale, encoder.logit_bias]
    assert trainable == {id(p) for p in heads} == {id(p) for p in groups["heads"]}
    loss = encoder.encode_image(_pixels(encoder)).sum() * encoder.logit_scale + encoder.encode_text(["a"]).sum()
    loss.backward()
    assert encoder.image_head.weight.grad is not None
    assert float(encoder.image_head.weight.grad.abs().sum()) > 0
    assert all(p.grad is None for p in encoder.model.vision_model.parameters())


def test_full_trains_every_parameter_exactly_once() -> None:
    encoder = _tiny()
    groups = encoder.parameter_groups("full")
    listed = [id(p) for p in groups["towers"] + groups["heads"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize(
    "text", ["", "plain", "ÄÖÜ ß", "中文连衣裙", "👗👠", "👩🏽‍🦱", "\x00\x01", "a\u0301", "עברית", "￿", "x" * 5000]
)
def test_byte_tokenizer_has_tokens_for_any_text(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer(text, truncation=False)["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert max(ids) < len(tokenizer)
    assert tokenizer.decode(ids[:-1]).removeprefix(" ") == text


@pytest.mark.parametrize("text", ["", "中文连衣裙" * 40, "👗" * 100, "\x00"])
def test_encoder_takes_any_text(text: str) -> None:
    with torch.inference_mode():
        encoded = _tiny().encode_text([text])
    assert torch.isfinite(encoded).all()


@pytest.mark.parametrize("name", ["/nowhere/at-all", "no-such-owner/no-such-model"])
def test_missing_weights_say_what_to_type(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsMissingError, match=r"model\.pretrained") as caught:
        SiglipEncoder(name)
    assert "HF_HOME" in str(caught.value)
    assert name in str(caught.value)


def test_a_folder_without_weights_is_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    with pytest.raises(WeightsMissingError, match=r"model\.pretrained"):
        SiglipEncoder(str(tmp_path))


def _foreign_folder(folder: Path, kind: str) -> None:
    """Write a random model as a stranger would: save_pretrained and an image processor, no heads of ours."""
    tokenizer = byte_tokenizer()
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    text = {**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "pad_token_id": 0,
            "bos_token_id": 1, "eos_token_id": 1}  # fmt: skip
    torch.manual_seed(0)
    if kind == "clip":
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
        processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32},
                     "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}  # fmt: skip
    else:
        config = SiglipConfig(text_config={**text, "projection_size": 32}, vision_config=vision)
        SiglipModel(config).save_pretrained(folder)
        processor = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}
    tokenizer.save_pretrained(folder)
    processor |= {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


@pytest.mark.parametrize(("kind", "dim"), [("clip", 16), ("siglip", 32)])
def test_a_strangers_folder_loads_encodes_and_saves(tmp_path: Path, kind: str, dim: int) -> None:
    with torch.random.fork_rng(devices=[]):
        _foreign_folder(tmp_path, kind)
    encoder = SiglipEncoder(str(tmp_path)).eval()
    assert encoder.dim == dim
    assert encoder.preprocessing.size == 32
    assert encoder.preprocessing.shortest_edge == (32 if kind == "clip" else None)
    assert encoder.preprocessing.mean == (0.4, 0.5, 0.6)
    images, texts = _encoded(encoder)
    for encoded, count in ((images, 2), (texts, len(TEXTS))):
        assert encoded.shape == (count, dim)
        assert torch.isfinite(encoded).all()
        assert torch.allclose(encoded.norm(dim=1), torch.ones(count), atol=1e-5)
    again = tmp_path / "again"
    again.mkdir()
    encoder.save(again)
    reloaded = SiglipEncoder(str(again)).eval()
    assert reloaded.preprocessing == encoder.preprocessing
    for ours, theirs in zip((images, texts), _encoded(reloaded), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_clip_texts_do_not_depend_on_padding(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        _foreign_folder(tmp_path, "clip")
    encoder = SiglipEncoder(str(tmp_path)).eval()
    with torch.inference_mode():
        alone, beside = encoder.encode_text(["vest"]), encoder.encode_text(["vest", "a long red dress with a belt"])
    assert torch.allclose(alone[0], beside[0], atol=1e-5)
