"""Aggregators on disk: the settings that build one, and its weights. Needs neither Hydra nor a training run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from skufp.factory import build
from skufp.models.weights import load_exactly, read_safetensors

ABOUT, WEIGHTS = "aggregator.json", "aggregator.safetensors"
META = ("viewpoint", "occlusion", "zoom_in", "generated")  # the columns of ``meta``, in order


def save_aggregator(aggregator: nn.Module, spec: Mapping[str, Any], dim: int, folder: Path) -> None:
    """Write aggregator.json (``spec``, which built it, and ``dim``) and, where it has any, its weights."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    about = {"spec": dict(spec), "dim": dim, "meta": META}
    (folder / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if weights := {name: value.contiguous() for name, value in aggregator.state_dict().items()}:
        save_file(weights, folder / WEIGHTS)


def load_aggregator(folder: Path) -> nn.Module:
    """Return what save_aggregator wrote, in evaluation mode and without gradients."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    again = "Make it again: python -m skufp stage=bundle"
    aggregator: nn.Module = build(about["spec"], dim=about["dim"])
    if aggregator.state_dict():
        load_exactly(aggregator, read_safetensors(folder / WEIGHTS, again), str(folder / WEIGHTS), again)
    return aggregator.eval().requires_grad_(False)


def read_trained(checkpoint: Path) -> tuple[nn.Module, dict[str, Any], int]:
    """Return the aggregator of a fingerprint stage's best.ckpt, the spec that built it, and its dimensions."""
    import torch

    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    given, prefix = saved["hyper_parameters"], "aggregator."
    aggregator: nn.Module = build(given["aggregator"], dim=given["dim"])
    weights = {
        name.removeprefix(prefix): value for name, value in saved["state_dict"].items() if name.startswith(prefix)
    }
    load_exactly(aggregator, weights, str(checkpoint), "Train again: python -m skufp stage=fingerprint")
    return aggregator.eval(), dict(given["aggregator"]), int(given["dim"])
