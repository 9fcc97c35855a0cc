"""Strict loading of weights: the file must hold exactly the model's tensors, with their shapes.

transformers and diffusers initialise missing tensors at random and go on; such a model runs, and its output is random.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skufp.errors import UserError

# Makes transformers and diffusers report every misfit instead of raising at the first; refuse_loading names them all.
TELLING = {"output_loading_info": True, "ignore_mismatched_sizes": True}
# Buffers of positions 0, 1, 2, … that older versions of transformers saved; newer ones compute them.
HARMLESS = ("position_ids",)
SHOWN = 3  # names of a kind in a message


class WeightsMissingError(UserError):
    """Pretrained weights are missing or do not fit; the message names the place that was searched."""


def load_exactly(module: nn.Module, weights: Any, source: str, remedy: str, elsewhere: tuple[str, ...] = ()) -> None:
    """Load the state dict ``weights`` into ``module``; WeightsMissingError unless names and shapes are the module's.

    Tensors of the module whose names start with one of ``elsewhere`` are loaded from another file. ``source`` names
    the file, and ``remedy`` what to type.
    """
    own = module.state_dict()
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise WeightsMissingError(f"'{source}' holds no table of weights. {remedy}")
    missing = [name for name in own if name not in weights and not name.startswith(elsewhere)]
    unexpected = [name for name in weights if name not in own]
    refuse_misfit(source, remedy, missing, unexpected, misshapen(own, weights))
    module.load_state_dict({name: value for name, value in weights.items() if name in own}, strict=False)


def misshapen(own: Mapping[str, Any], weights: Mapping[str, Any]) -> list[str]:
    """Return "name, shape in the file instead of the model's shape" for every shared name whose shapes differ."""
    shapes = [(n, tuple(weights[n].shape), tuple(own[n].shape)) for n in own if n in weights]
    return [f"{name} {given} instead of {needed}" for name, given, needed in shapes if given != needed]


def refuse_loading(source: str, remedy: str, loading: Mapping[str, Iterable[Any]]) -> None:
    """Raise WeightsMissingError for any misfit that from_pretrained() of transformers or diffusers reports."""
    missing, unexpected = (loading.get(f"{kind}_keys") or () for kind in ("missing", "unexpected"))
    mismatched = [m if isinstance(m, str) else " ".join(map(str, m)) for m in loading.get("mismatched_keys") or ()]
    refuse_misfit(source, remedy, missing, unexpected, mismatched)
    if errors := list(loading.get("error_msgs") or ()):
        raise WeightsMissingError(f"the weights of '{source}' could not be read: {errors[0]}. {remedy}")


def refuse_misfit(
    source: str, remedy: str, missing: Iterable[str], unexpected: Iterable[str], mismatched: Iterable[str] = ()
) -> None:
    """Raise WeightsMissingError if any tensor is missing, unexpected (but for HARMLESS ones) or of another shape."""
    unexpected = [name for name in unexpected if name.rpartition(".")[2] not in HARMLESS]
    kinds = (("not in the file", missing), ("unknown to the model", unexpected), ("of another shape", mismatched))
    found = [f"{len(names)} {what} ({_some(names)})" for what, given in kinds if (names := sorted(given))]
    if found:
        raise WeightsMissingError(f"the weights of '{source}' do not fit the model: {', '.join(found)}. {remedy}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def read_safetensors(file: Any, remedy: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file; WeightsMissingError where it is absent or broken."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsMissingError(f"the weights in '{file}' cannot be read ({error}). {remedy}") from error


def read_pickle(file: Any) -> Any:
    """Return the tensors and plain containers that torch.save wrote; no code in the file is run."""
    return torch.load(file, map_location="cpu", weights_only=True)
