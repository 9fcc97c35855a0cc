"""SigLIP in open_clip's form, read as transformers' SiglipModel: its settings, its weights' names, its tokenizer.

Legend: D width, L tokens, N patches, P side of a patch.
Source: open_clip (https://github.com/mlfoundations/open_clip, MIT), whose image tower is timm's VisionTransformer with
attention pooling. A folder in this form holds open_clip_config.json and weights under open_clip's names. If it has a
config.json of transformers too, transformers opens it without an error and initialises every weight at random.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, cat
from transformers import PreTrainedTokenizerFast, SiglipConfig

from skufp.models.preprocessing import Preprocessing
from skufp.models.weights import WeightsMissingError

CONFIG = "open_clip_config.json"
WEIGHTS = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
MARKS = ("visual.", "text.")  # prefixes of the weights of open_clip's SigLIP
# Attention heads of timm's SigLIP towers, and whether their GELU is the tanh approximation: neither is in a file.
TOWERS = {
    "vit_base_patch16_siglip_224": (12, False), "vit_base_patch16_siglip_256": (12, False),
    "vit_base_patch16_siglip_384": (12, False), "vit_base_patch16_siglip_512": (12, False),
    "vit_base_patch32_siglip_256": (12, True), "vit_large_patch16_siglip_256": (16, False),
    "vit_large_patch16_siglip_384": (16, False), "vit_large_patch16_siglip_512": (16, True),
    "vit_so400m_patch14_siglip_224": (16, False), "vit_so400m_patch14_siglip_378": (16, False),
    "vit_so400m_patch14_siglip_384": (16, False), "vit_so400m_patch16_siglip_256": (16, True),
    "vit_so400m_patch16_siglip_384": (16, True), "vit_so400m_patch16_siglip_512": (16, True),
    "vit_giantopt_patch16_siglip_256": (16, True), "vit_giantopt_patch16_siglip_384": (16, True),
}  # fmt: skip
TEXT = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}  # the settings of SigLIP's text tower
INTERPOLATIONS = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers
RENAMED = (
    (r"visual\.trunk\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"visual\.trunk\.pos_embed$", "vision_model.embeddings.position_embedding.weight"),
    (r"visual\.trunk\.norm\.", "vision_model.post_layernorm."),
    (r"visual\.trunk\.attn_pool\.latent$", "vision_model.head.probe"),
    (r"visual\.trunk\.attn_pool\.proj\.", "vision_model.head.attention.out_proj."),
    (r"visual\.trunk\.attn_pool\.norm\.", "vision_model.head.layernorm."),
    (r"visual\.trunk\.attn_pool\.mlp\.", "vision_model.head.mlp."),
    (r"visual\.trunk\.blocks\.(\d+)\.norm([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"visual\.trunk\.blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.out_proj."),
    (r"visual\.trunk\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
    (r"text\.token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"text\.positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"text\.ln_final\.", "text_model.final_layer_norm."),
    (r"text\.text_projection\.", "text_model.head."),
    (r"text\.transformer\.resblocks\.(\d+)\.ln_([12])\.", r"text_model.encoder.layers.\1.layer_norm\2."),
    (r"text\.transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"text_model.encoder.layers.\1.self_attn.out_proj."),
    (r"text\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"text_model.encoder.layers.\1.mlp.fc1."),
    (r"text\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"text_model.encoder.layers.\1.mlp.fc2."),
)
FUSED = (  # query, key and value are stacked in one matrix
    (r"visual\.trunk\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)$", "vision_model.encoder.layers"),
    (r"text\.transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$", "text_model.encoder.layers"),
)
POOL = "visual.trunk.attn_pool"


def read_config(file: Path, source: str) -> dict[str, Any]:
    """Return open_clip_config.json of a SigLIP; WeightsMissingError for a model of another kind."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        vision, text = found["model_cfg"]["vision_cfg"], found["model_cfg"]["text_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsMissingError(f"{file} does not describe an open_clip model ({error!r})") from error
    tower, wanted = vision.get("timm_model_name"), {name: text.get(name) for name in TEXT}
    pool, projection = vision.get("timm_pool"), vision.get("timm_proj") or "none"
    if tower not in TOWERS or (pool, projection) != ("map", "none") or wanted != TEXT or "hf_model_name" in text:
        raise WeightsMissingError(
            f"'{source}' is an open_clip model of another kind than SigLIP (image tower {tower}, pooling {pool}, text"
            f" tower {wanted}). Give a SigLIP, or a folder in the form of transformers, with model.pretrained=<folder>"
        )
    return found


def to_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``weights`` under SiglipModel's names; a name that is unknown to open_clip's SigLIP is left unchanged."""
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        if split := _split(name, value):
            renamed |= split
        elif name in ("logit_scale", "logit_bias"):
            renamed[name] = value.reshape(1)
        elif not name.startswith((f"{POOL}.q.", f"{POOL}.kv.")):
            renamed[_rename(name)] = value.squeeze(0) if name.endswith("trunk.pos_embed") else value
    for kind in ("weight", "bias"):
        parts = [weights[f"{POOL}.{part}.{kind}"] for part in ("q", "kv") if f"{POOL}.{part}.{kind}" in weights]
        if parts:  # one of the two alone has the wrong shape, and is refused for it
            renamed[f"vision_model.head.attention.in_proj_{kind}"] = cat(parts)
    return renamed


def _split(name: str, value: Tensor) -> dict[str, Tensor]:
    for pattern, layers in FUSED:
        if match := re.match(pattern, name):
            prefix = f"{layers}.{match[1]}.self_attn"
            parts = zip("qkv", value.chunk(3), strict=True)  # [3 D, D] or [3 D]
            return {f"{prefix}.{letter}_proj.{match[2]}": part for letter, part in parts}
    return {}


def _rename(name: str) -> str:
    for pattern, new in RENAMED:
        if re.match(pattern, name):
            return re.sub(pattern, new, name, count=1)
    return name


def siglip_config(settings: Mapping[str, Any], weights: Mapping[str, Tensor], source: str) -> SiglipConfig:
    """Return SiglipModel's configuration: sizes from the (renamed) ``weights``, the rest from ``settings``.

    Raises WeightsMissingError where a weight that determines a size is missing.
    """
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    heads, tanh = TOWERS[vision["timm_model_name"]]
    text_tanh = (text.get("act_kwargs") or {}).get("approximate") == "tanh"
    try:
        patches = weights["vision_model.embeddings.patch_embedding.weight"]  # [D, 3, P, P]
        vocabulary, positions, head = (
            weights[f"text_model.{name}.weight"].shape
            for name in ("embeddings.token_embedding", "embeddings.position_embedding", "head")
        )
        return SiglipConfig(
            vision_config={
                **_sizes(weights, "vision_model"), "num_attention_heads": heads, "hidden_act": _gelu(tanh),
                "image_size": int(vision["image_size"]), "patch_size": patches.shape[-1], "layer_norm_eps": 1e-6,
            },
            text_config={
                **_sizes(weights, "text_model"), "num_attention_heads": int(text["heads"]),
                "hidden_act": _gelu(text_tanh), "vocab_size": vocabulary[0], "max_position_embeddings": positions[0],
                "layer_norm_eps": float((text.get("norm_kwargs") or {}).get("eps", 1e-5)),
                "projection_size": head[0], "pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1,
            },
        )  # fmt: skip
    except KeyError as error:
        raise WeightsMissingError(
            f"the weights of '{source}' are not those of a SigLIP of open_clip: there is no {error}, but"
            f" {', '.join(sorted(weights)[:3])}, …. Give another folder with model.pretrained=<folder>"
        ) from error


def _sizes(weights: Mapping[str, Tensor], tower: str) -> dict[str, int]:
    first = weights[f"{tower}.encoder.layers.0.mlp.fc1.weight"]  # [inner width, D]
    layers = {name.split(".")[3] for name in weights if name.startswith(f"{tower}.encoder.layers.")}
    return {"hidden_size": first.shape[1], "intermediate_size": first.shape[0], "num_hidden_layers": len(layers)}


def _gelu(tanh: bool) -> str:
    return "gelu_pytorch_tanh" if tanh else "gelu"


def preprocessing_of(settings: Mapping[str, Any], source: str) -> Preprocessing:
    """Return the preprocessing in open_clip_config.json; WeightsMissingError if it is not supported."""
    given = settings.get("preprocess_cfg") or {}
    mode, interpolation = given.get("resize_mode", "shortest"), given.get("interpolation", "bicubic")
    if mode not in ("squash", "shortest") or interpolation not in INTERPOLATIONS or "mean" not in given:
        raise WeightsMissingError(
            f"'{source}' prepares pictures in a way that is not supported: {CONFIG} has preprocess_cfg {given}. It"
            f" must have mean and std, resize_mode squash or shortest, interpolation {' or '.join(INTERPOLATIONS)}"
        )
    size = int(settings["model_cfg"]["vision_cfg"]["image_size"])
    mean, std = tuple(map(float, given["mean"])), tuple(map(float, given["std"]))
    edge = size if mode == "shortest" else None
    return Preprocessing(size, mean, std, INTERPOLATIONS[interpolation], shortest_edge=edge)  # type: ignore[arg-type]


def read_tokenizer(pretrained: str, settings: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """Return the folder's tokenizer.json, with open_clip's text cleaning if the settings name it.

    open_clip's "canonicalize" removes punctuation, joins runs of white space and lowers the case. Here it is part of
    the tokenizer, so that a saved folder keeps it. open_clip also repairs wrongly decoded characters; this does not.
    """
    from tokenizers import Regex, normalizers

    tokenizer = PreTrainedTokenizerFast.from_pretrained(pretrained)
    if (settings["text_cfg"].get("tokenizer_kwargs") or {}).get("clean") == "canonicalize":
        backend = tokenizer.backend_tokenizer
        punctuation = Regex(r"[!-/:-@\[-`{-~]")  # Python's string.punctuation
        steps = [
            normalizers.Replace("_", " "), normalizers.Replace(punctuation, ""), normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(),
        ]  # fmt: skip
        backend.normalizer = normalizers.Sequence([*steps, *([backend.normalizer] if backend.normalizer else [])])
    return tokenizer
