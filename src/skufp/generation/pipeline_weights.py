"""A diffusers pipeline and its LoRA, from disk or the hub; missing or unplaced weights are refused.

diffusers initialises weights missing from a component's file at random, and drops LoRA weights that fit nowhere.
"""

import hashlib
import importlib
import importlib.util
from typing import Any

from skufp.errors import UserError

REMEDY = "Give a local folder with views.generator.pretrained=<folder>"
ANOTHER_LORA = "Give a .safetensors file or its folder with views.generator.lora=<path>"


def load_pipeline(pretrained: str) -> Any:
    """Load an image-to-image pipeline; UserError where it cannot be had or a component's weights do not fit."""
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    for library_logging in (logging, transformers_logging):  # the next import already warns
        library_logging.disable_progress_bar()
        library_logging.set_verbosity_error()
    from diffusers import AutoPipelineForImage2Image

    try:
        return AutoPipelineForImage2Image.from_pretrained(pretrained, **_networks(pretrained))
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the image-to-image pipeline '{pretrained}' cannot be had ({_first_line(error)}). {REMEDY}, or set HF_HOME"
            " to a hub cache that has it"
        ) from error


def _networks(pretrained: str) -> dict[str, Any]:
    """Load the pipeline's networks one by one, since only then diffusers reports missing weights."""
    from diffusers import DiffusionPipeline

    from skufp.models.weights import TELLING, refuse_loading

    networks = {}
    for name, entry in DiffusionPipeline.load_config(pretrained).items():
        if (kind := _network_class(entry)) is None:
            continue
        networks[name], loading = kind.from_pretrained(pretrained, subfolder=name, **TELLING)
        refuse_loading(f"{pretrained}/{name}", REMEDY, loading)
    return networks


def _network_class(entry: Any) -> Any:
    """Return the class that an entry [library, class] of model_index.json names, if it is a network's, else None."""
    from torch import nn

    if not isinstance(entry, list | tuple) or len(entry) != 2 or not all(isinstance(part, str) for part in entry):
        return None
    library, name = entry
    module = library if library in ("diffusers", "transformers") else f"diffusers.pipelines.{library}"
    kind = getattr(importlib.import_module(module), name, None) if importlib.util.find_spec(module) else None
    is_network = isinstance(kind, type) and issubclass(kind, nn.Module) and hasattr(kind, "from_pretrained")
    return kind if is_network else None


def load_lora(pipe: Any, lora: str) -> None:
    """Load a LoRA into a pipeline; UserError unless every matrix of the file is used."""
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"the LoRA '{lora}' needs the package peft. Type: pip install peft")
    if not hasattr(pipe, "load_lora_weights"):
        raise UserError(f"a {type(pipe).__name__} takes no LoRA. Set views.generator.lora=null")
    try:
        given = type(pipe).lora_state_dict(lora)
        pipe.load_lora_weights(lora)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"the LoRA '{lora}' cannot be had ({_first_line(error)}). {ANOTHER_LORA}") from error
    if not pipe.get_active_adapters():
        raise UserError(f"the LoRA '{lora}' fits no part of this {type(pipe).__name__}: it belongs to another model")
    _refuse_unplaced(pipe, lora, given[0] if isinstance(given, tuple) else given)


def _refuse_unplaced(pipe: Any, lora: str, given: dict[str, Any]) -> None:
    """Raise unless every matrix is placed. Matrices are identified by value, since diffusers renames them."""
    from torch import nn

    from skufp.models.weights import refuse_misfit

    networks = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    placed = {_digest(p) for part in networks for name, p in part.named_parameters() if ".lora_" in name}
    lost = [name for name, value in given.items() if value.ndim > 1 and _digest(value) not in placed]
    refuse_misfit(lora, ANOTHER_LORA, (), lost)


def _digest(value: Any) -> bytes:
    return hashlib.sha256(value.detach().float().cpu().contiguous().numpy().tobytes()).digest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
