"""SigLIP folders in open_clip's form: names mapped back by hand here, sizes, cleaning of texts, and what is refused."""

import html
import json
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import SiglipConfig, SiglipModel

from skufp.config import build
from skufp.errors import UserError
from skufp.models.open_clip import TOWERS
from skufp.models.siglip import SiglipEncoder, byte_tokenizer

TOWER = "vit_base_patch16_siglip_224"
SETTINGS: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 24, "init_logit_bias": -10, "custom_text": True,
        "vision_cfg": {"image_size": 32, "timm_model_name": TOWER, "timm_model_pretrained": False,
                       "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 16, "vocab_size": 1024, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
                     "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 24, "heads": 4, "layers": 2,
                     "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic",
                       "resize_mode": "squash"},
}  # fmt: skip
TEXTS = ["A red_dress, with buttons!", "  Navy   T-shirt (men's)", "", "100% cotton"]


def _model(heads: int = 12, act: str = "gelu", text_act: str = "gelu") -> SiglipModel:
    tower = {"hidden_size": 24, "intermediate_size": 40}
    config = SiglipConfig(
        vision_config={**tower, "num_hidden_layers": 2, "num_attention_heads": heads, "image_size": 32,
                       "patch_size": 16, "hidden_act": act, "layer_norm_eps": 1e-6},
        text_config={**tower, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 1024,
                     "max_position_embeddings": 16, "hidden_act": text_act, "layer_norm_eps": 1e-6,
                     "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        model = SiglipModel(config).eval()
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    return model


def _open_clip_names(model: SiglipModel) -> dict[str, Tensor]:
    """The weights as open_clip names them, written out part by part from its classes."""
    own, out = model.state_dict(), {}
    for kind in ("weight", "bias"):
        vision, text = "vision_model", "text_model"
        out[f"visual.trunk.patch_embed.proj.{kind}"] = own[f"{vision}.embeddings.patch_embedding.{kind}"]
        out[f"visual.trunk.norm.{kind}"] = own[f"{vision}.post_layernorm.{kind}"]
        q, k, v = own[f"{vision}.head.attention.in_proj_{kind}"].split(24)
        out[f"visual.trunk.attn_pool.q.{kind}"] = q
        out[f"visual.trunk.attn_pool.kv.{kind}"] = torch.cat([k, v])
        out[f"visual.trunk.attn_pool.proj.{kind}"] = own[f"{vision}.head.attention.out_proj.{kind}"]
        out[f"visual.trunk.attn_pool.norm.{kind}"] = own[f"{vision}.head.layernorm.{kind}"]
        out[f"text.ln_final.{kind}"] = own[f"{text}.final_layer_norm.{kind}"]
        out[f"text.text_projection.{kind}"] = own[f"{text}.head.{kind}"]
        for fc in ("fc1", "fc2"):
            out[f"visual.trunk.attn_pool.mlp.{fc}.{kind}"] = own[f"{vision}.head.mlp.{fc}.{kind}"]
        for i in range(2):
            theirs, ours = f"visual.trunk.blocks.{i}", f"{vision}.encoder.layers.{i}"
            out[f"{theirs}.norm1.{kind}"] = own[f"{ours}.layer_norm1.{kind}"]
            out[f"{theirs}.norm2.{kind}"] = own[f"{ours}.layer_norm2.{kind}"]
            out[f"{theirs}.attn.proj.{kind}"] = own[f"{ours}.self_attn.out_proj.{kind}"]
            out[f"{theirs}.attn.qkv.{kind}"] = torch.cat([own[f"{ours}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
            out[f"{theirs}.mlp.fc1.{kind}"] = own[f"{ours}.mlp.fc1.{kind}"]
            out[f"{theirs}.mlp.fc2.{kind}"] = own[f"{ours}.mlp.fc2.{kind}"]
            theirs, ours = f"text.transformer.resblocks.{i}", f"{text}.encoder.layers.{i}"
            out[f"{theirs}.ln_1.{kind}"] = own[f"{ours}.layer_norm1.{kind}"]
            out[f"{theirs}.ln_2.{kind}"] = own[f"{ours}.layer_norm2.{kind}"]
            out[f"{theirs}.attn.in_proj_{kind}"] = torch.cat([own[f"{ours}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
            out[f"{theirs}.attn.out_proj.{kind}"] = own[f"{ours}.self_attn.out_proj.{kind}"]
            out[f"{theirs}.mlp.c_fc.{kind}"] = own[f"{ours}.mlp.fc1.{kind}"]
            out[f"{theirs}.mlp.c_proj.{kind}"] = own[f"{ours}.mlp.fc2.{kind}"]
    out["visual.trunk.pos_embed"] = own["vision_model.embeddings.position_embedding.weight"][None]
    out["visual.trunk.attn_pool.latent"] = own["vision_model.head.probe"]
    out["text.token_embedding.weight"] = own["text_model.embeddings.token_embedding.weight"]
    out["text.positional_embedding"] = own["text_model.embeddings.position_embedding.weight"]
    out["logit_scale"], out["logit_bias"] = own["logit_scale"].squeeze(), own["logit_bias"].squeeze()
    return {name: value.clone().contiguous() for name, value in out.items()}


def _folder(
    folder: Path, weights: dict[str, Tensor], settings: dict[str, Any] | None = None, file: str = "model.safetensors"
) -> str:
    """A folder as Marqo/marqo-fashionSigLIP's: open_clip's files, and a config.json that says siglip."""
    folder.mkdir(exist_ok=True)
    if file.endswith(".bin"):
        torch.save(weights, folder / file)
    else:
        save_file(weights, folder / file)
    (folder / "open_clip_config.json").write_text(json.dumps(settings or SETTINGS))
    (folder / "config.json").write_text(json.dumps({"architectures": ["SigLIP"], "model_type": "siglip"}))
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def _changed(path: str, value: Any) -> dict[str, Any]:
    settings = json.loads(json.dumps(SETTINGS))
    *parents, last = path.split(".")
    node = settings
    for parent in parents:
        node = node[parent]
    node[last] = value
    return settings


def _cleaned(text: str) -> str:
    """open_clip's "canonicalize", as its tokenizer.py writes it, without ftfy."""
    text = html.unescape(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(text.lower().split())


@pytest.mark.parametrize("file", ["model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_a_folder_of_open_clip_equals_the_model_it_was_made_of(tmp_path: Path, file: str) -> None:
    model = _model()
    encoder = SiglipEncoder(_folder(tmp_path, _open_clip_names(model), file=file)).eval()
    assert encoder.model.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(encoder.model.state_dict()[name], value), name
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = torch.stack([
        torch.tensor(byte_tokenizer()(_cleaned(t), padding="max_length", truncation=True, max_length=16)["input_ids"])
        for t in TEXTS
    ])  # fmt: skip
    with torch.inference_mode():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(
            encoder.encode_image(pixels), torch.nn.functional.normalize(images), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(encoder.encode_text(TEXTS), torch.nn.functional.normalize(texts), atol=1e-6, rtol=0)
    assert float(encoder.logit_scale) == float(model.logit_scale)
    assert float(encoder.logit_bias) == float(model.logit_bias)


def test_it_is_saved_in_transformers_form_and_cleans_texts_ever_after(tmp_path: Path) -> None:
    encoder = SiglipEncoder(_folder(tmp_path / "open_clip", _open_clip_names(_model()))).eval()
    (tmp_path / "saved").mkdir()
    encoder.save(tmp_path / "saved")
    again = SiglipEncoder(str(tmp_path / "saved")).eval()
    with torch.inference_mode():
        assert torch.equal(again.encode_text(["red, dress!"]), encoder.encode_text(["red dress"]))
        assert torch.equal(again.encode_text(["red dress"]), encoder.encode_text(["red dress"]))
    assert again.preprocessing == encoder.preprocessing


def test_without_canonicalize_punctuation_stays(tmp_path: Path) -> None:
    settings = _changed("model_cfg.text_cfg.tokenizer_kwargs", {})
    encoder = SiglipEncoder(_folder(tmp_path, _open_clip_names(_model()), settings)).eval()
    with torch.inference_mode():
        assert not torch.equal(encoder.encode_text(["red, dress!"]), encoder.encode_text(["red dress"]))


@pytest.mark.parametrize(
    ("tower", "act", "text_cfg", "text_act"),
    [
        ("vit_base_patch32_siglip_256", "gelu_pytorch_tanh", {"act_kwargs": {"approximate": "tanh"}},
         "gelu_pytorch_tanh"),
        ("vit_base_patch16_siglip_512", "gelu", {"act_kwargs": None}, "gelu"),
    ],
)  # fmt: skip
def test_activations_are_those_of_timm_and_of_the_text_settings(
    tmp_path: Path, tower: str, act: str, text_cfg: dict[str, Any], text_act: str
) -> None:
    settings = _changed("model_cfg.vision_cfg.timm_model_name", tower)
    settings["model_cfg"]["text_cfg"] |= text_cfg
    config = SiglipEncoder(_folder(tmp_path, _open_clip_names(_model()), settings)).model.config
    assert (config.vision_config.hidden_act, config.text_config.hidden_act) == (act, text_act)
    assert config.vision_config.num_attention_heads == TOWERS[tower][0] == 12
    assert config.text_config.num_attention_heads == 4


def test_preprocessing_is_that_of_the_settings(tmp_path: Path) -> None:
    weights = _open_clip_names(_model())
    squashed = SiglipEncoder(_folder(tmp_path / "a", weights)).preprocessing
    assert (squashed.size, squashed.mean, squashed.resample, squashed.shortest_edge) == (32, (0.5,) * 3, 3, None)
    cut = SiglipEncoder(_folder(tmp_path / "b", weights, _changed("preprocess_cfg.resize_mode", "shortest")))
    assert cut.preprocessing.shortest_edge == 32
    with pytest.raises(UserError, match="resize_mode squash or shortest"):
        SiglipEncoder(_folder(tmp_path / "c", weights, _changed("preprocess_cfg.resize_mode", "longest")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model_cfg.vision_cfg.timm_model_name", "convnext_base"),
        ("model_cfg.vision_cfg.timm_pool", "avg"),
        ("model_cfg.vision_cfg.timm_proj", "linear"),
        ("model_cfg.text_cfg.no_causal_mask", False),
        ("model_cfg.text_cfg.hf_model_name", "roberta-base"),
    ],
)
def test_another_kind_of_open_clip_model_is_refused(tmp_path: Path, path: str, value: Any) -> None:
    folder = _folder(tmp_path, _open_clip_names(_model()), _changed(path, value))
    with pytest.raises(UserError, match=r"another kind than SigLIP .*model\.pretrained=<folder>"):
        SiglipEncoder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("visual.trunk.blocks.1.norm2.bias"), r"1 not in the file \(vision_model\.encoder\.layers\.1"),
        (lambda w: w.update({"visual.head.proj.weight": torch.zeros(2, 2)}), r"1 unknown to the model \(visual\.head"),
        (lambda w: w.update({"text.positional_embedding": torch.zeros(9, 25)}), r"1 of another shape \(text_model"),
        (lambda w: w.pop("visual.trunk.attn_pool.q.weight"), r"1 of another shape \(vision_model\.head\.attention"),
        (lambda w: w.pop("logit_bias"), r"1 not in the file \(logit_bias\)"),
        (
            lambda w: w.pop("text.text_projection.weight"),
            r"not those of a SigLIP of open_clip: there is no 'text_model",
        ),
    ],
)
def test_weights_that_are_not_exactly_the_models_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    weights = _open_clip_names(_model())
    change(weights)
    with pytest.raises(UserError, match=rf"{message}.*model\.pretrained=<folder>"):
        SiglipEncoder(_folder(tmp_path, weights))


def test_open_clips_names_without_its_settings_are_refused_not_drawn_at_random(tmp_path: Path) -> None:
    """The fault: transformers took such a folder for its own, and every weight was random."""
    folder = _folder(tmp_path, _open_clip_names(_model()))
    (tmp_path / "open_clip_config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "SiglipImageProcessor"}))
    with pytest.raises(UserError, match=r"not in the file \(.*unknown to the model \(.*model\.pretrained=<folder>"):
        SiglipEncoder(folder)


def test_a_folder_in_both_forms_is_read_in_transformers_own(tmp_path: Path) -> None:
    model = _model()
    _folder(tmp_path, {"visual.wrong": torch.zeros(1)}, file="open_clip_model.safetensors")
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}})
    )
    encoder = SiglipEncoder(str(tmp_path))
    assert torch.equal(encoder.model.vision_model.head.probe, model.vision_model.head.probe)


def test_build_of_the_shipped_choice_takes_such_a_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path, _open_clip_names(_model()))
    encoder = build({"_target_": "skufp.models.siglip.SiglipEncoder", "pretrained": folder})
    assert encoder.dim == 24
