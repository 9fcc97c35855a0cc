"""Encoders on disk: what was saved is what is opened, and its hashes tell encoders apart."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from skufp.models.preprocessing import Preprocessing
from skufp.models.siglip import SiglipEncoder, byte_tokenizer, tiny_siglip
from skufp.modules.encoder_folder import encoder_marks, load_encoder, save_encoder


def _siglip(seed: int = 0) -> SiglipEncoder:
    return tiny_siglip(16, 8, 16, 1, 2, seed)


def _clip() -> SiglipEncoder:
    """A random CLIP: unlike SigLIP's, its logit scale has no dimension and it has no bias of its own."""
    tokenizer = byte_tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    text = {**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "pad_token_id": 0,
            "bos_token_id": 1, "eos_token_id": 1}  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 16, "patch_size": 8})
        config.projection_dim = 8
        return SiglipEncoder.from_parts(CLIPModel(config), tokenizer, Preprocessing(16, (0.4, 0.5, 0.6)))


@pytest.mark.parametrize("make", [_siglip, _clip])
def test_saved_and_loaded_encode_alike(tmp_path: Path, make: type) -> None:
    encoder = make().eval()
    save_encoder(encoder, tmp_path / "deep" / "encoder")
    loaded = load_encoder(tmp_path / "deep" / "encoder")
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert loaded.preprocessing == encoder.preprocessing
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for name, value in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    with torch.inference_mode():  # weights mapped from a file may be summed in another order
        assert torch.allclose(loaded.encode_image(pixels), encoder.encode_image(pixels), atol=1e-6)
        assert torch.allclose(loaded.encode_text(["vest"]), encoder.encode_text(["vest"]), atol=1e-6)


def test_marks_follow_weights_and_preprocessing(tmp_path: Path) -> None:
    changed = _siglip()
    changed.preprocessing = Preprocessing(16, letterbox=True)
    marks = {}
    for name, encoder in (("a", _siglip()), ("again", _siglip()), ("seed", _siglip(1)), ("letterbox", changed)):
        save_encoder(encoder, tmp_path / name)
        marks[name] = encoder_marks(tmp_path / name)
    assert marks["a"] == marks["again"]
    assert marks["a"]["preprocessing"] == marks["seed"]["preprocessing"] != marks["letterbox"]["preprocessing"]
    assert len({m["fingerprint"] for m in marks.values()}) == 3


def test_reloading_keeps_the_fingerprint(tmp_path: Path) -> None:
    save_encoder(_siglip(), tmp_path / "first")
    save_encoder(load_encoder(tmp_path / "first"), tmp_path / "second")
    assert encoder_marks(tmp_path / "first") == encoder_marks(tmp_path / "second")


def test_a_letterbox_survives_the_folder(tmp_path: Path) -> None:
    encoder = _siglip()
    encoder.preprocessing = Preprocessing(16, letterbox=True, fill=7)
    save_encoder(encoder, tmp_path)
    assert load_encoder(tmp_path).preprocessing == encoder.preprocessing
