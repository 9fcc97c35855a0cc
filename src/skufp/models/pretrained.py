"""Pretrained image-text models: model, tokenizer and preprocessing from a folder or the hub."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    SiglipModel,
)
from transformers.utils import cached_file

from skufp.models import open_clip
from skufp.models.preprocessing import Preprocessing
from skufp.models.weights import (
    TELLING,
    WeightsMissingError,
    load_exactly,
    read_pickle,
    read_safetensors,
    refuse_loading,
)

REMEDY = "Give a folder that transformers' save_pretrained or open_clip wrote with model.pretrained=<folder>"
Parts = tuple[PreTrainedModel, PreTrainedTokenizerBase, Preprocessing]


def load_pretrained(pretrained: str) -> Parts:
    """Load a hub name or a folder, in the form of transformers or of open_clip, in single precision.

    Raises WeightsMissingError where a file is missing, and where the weights do not fit the model exactly.
    """
    try:
        return _of_open_clip(pretrained) or _of_transformers(pretrained)
    except WeightsMissingError:
        raise
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsMissingError(
            f"the weights of '{pretrained}' cannot be had ({first}). Give a local folder with"
            " model.pretrained=<folder>, or set HF_HOME to a hub cache that has them"
        ) from error


def _of_transformers(pretrained: str) -> Parts:
    model, loading = AutoModel.from_pretrained(pretrained, dtype=torch.float32, **TELLING)
    refuse_loading(pretrained, REMEDY, loading)
    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    processor = AutoImageProcessor.from_pretrained(pretrained, backend="pil")
    return model, tokenizer, preprocessing_of(processor, pretrained)


def _of_open_clip(pretrained: str) -> Parts | None:
    """Return None where the folder is not in open_clip's form, or has the weights in transformers' form too."""
    config = _file(pretrained, open_clip.CONFIG)
    weights = _open_clip_weights(pretrained) if config is not None else None
    if config is None or weights is None:
        return None
    settings = open_clip.read_config(config, pretrained)
    renamed = open_clip.to_transformers(weights)
    with torch.random.fork_rng(devices=[]):  # initialising the model would draw from the global generator
        model = SiglipModel(open_clip.siglip_config(settings["model_cfg"], renamed, pretrained))
    load_exactly(model, renamed, pretrained, REMEDY)
    tokenizer = open_clip.read_tokenizer(pretrained, settings["model_cfg"])
    for name in ("pad", "bos", "eos"):
        setattr(model.config.text_config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    return model.eval(), tokenizer, open_clip.preprocessing_of(settings, pretrained)


def _open_clip_weights(pretrained: str) -> dict[str, Tensor] | None:
    for name in open_clip.WEIGHTS:
        if (file := _file(pretrained, name)) is None:
            continue
        weights = read_safetensors(file, REMEDY) if file.suffix == ".safetensors" else read_pickle(file)
        if name != open_clip.WEIGHTS[0]:
            return weights
        return weights if any(key.startswith(open_clip.MARKS) for key in weights) else None
    return None


def _file(pretrained: str, name: str) -> Path | None:
    """Return one file of a folder or of the hub; None if it is missing."""
    if Path(pretrained).is_dir():
        return Path(pretrained) / name if (Path(pretrained) / name).is_file() else None
    lenient = [f"_raise_exceptions_for_{what}" for what in ("gated_repo", "missing_entries", "connection_errors")]
    found = cached_file(pretrained, name, **dict.fromkeys(lenient, False))
    return None if found is None else Path(found)


def preprocessing_of(processor: Any, source: str) -> Preprocessing:
    """Return the preprocessing of a transformers image processor; WeightsMissingError if it is not supported."""
    size = {name: int(value) for name, value in dict(processor.size).items() if value}
    given = dict(getattr(processor, "crop_size", None) or {}) if getattr(processor, "do_center_crop", False) else {}
    crop = {name: int(value) for name, value in given.items() if value}
    side, edge = size.get("height"), size.get("shortest_edge")
    squashes = side is not None and size == {"height": side, "width": side} and crop in ({}, size)
    cuts = edge is not None and size == {"shortest_edge": edge} and crop.get("height") == crop.get("width")
    scales = abs(float(getattr(processor, "rescale_factor", 1 / 255)) * 255 - 1) < 1e-6
    steps = all(getattr(processor, f"do_{step}", True) for step in ("resize", "rescale", "normalize"))
    if not (squashes or (cuts and 0 < crop.get("height", 0) <= (edge or 0))) or not scales or not steps:
        raise WeightsMissingError(
            f"'{source}' prepares pictures in a way that is not supported (size {size}, centre crop {crop or 'none'},"
            f" {type(processor).__name__}): preprocessor_config.json must resize to a square, or resize the shorter"
            " side and cut out a square no larger; rescale by 1/255; and normalise"
        )
    return Preprocessing(
        crop["height"] if cuts else int(side or 0),
        tuple(processor.image_mean),
        tuple(processor.image_std),
        int(processor.resample),
        bool(getattr(processor, "letterbox", False)),
        int(getattr(processor, "fill", 255)),
        edge if cuts else None,
    )


def processor_config(p: Preprocessing, is_clip: bool) -> dict[str, Any]:
    """Return preprocessor_config.json for ``p``, as transformers reads it and as preprocessing_of does."""
    square = {"height": p.size, "width": p.size}
    cuts = p.shortest_edge is not None
    return {
        "image_processor_type": "CLIPImageProcessor" if is_clip or cuts else "SiglipImageProcessor",
        "size": {"shortest_edge": p.shortest_edge} if cuts else square, "do_center_crop": cuts, "crop_size": square,
        "image_mean": list(p.mean), "image_std": list(p.std), "resample": p.resample, "do_resize": True,
        "do_normalize": True, "do_rescale": True, "letterbox": p.letterbox, "fill": p.fill,
    }  # fmt: skip
