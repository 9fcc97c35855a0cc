"""The spaces in which the diffusion transformer works: pixels, or the latents of a frozen autoencoder.

Legend: B batch, H W sides of the pictures, f ``factor``, C ``channels``.
Papers: latent diffusion, and the scale of its latents, arXiv 2112.10752 (appendix G); their shift, arXiv 2403.03206.
"""

import pickle
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from skufp.errors import UserError
from skufp.models.dual_encoder import WeightsMissingError
from skufp.models.taef2 import CHANNELS, FACTOR, TinyAutoencoder
from skufp.models.weights import TELLING, load_exactly, read_pickle, refuse_loading

TAEF2_DEVIATION = 0.76  # of TAEF2's latents: 150 shop photos of luma_df2 at 256 px (0.83 in phone photos); mean -0.01
TAEF2_FILES = "that holds taef2_encoder.pth and taef2_decoder.pth"
KINDS = ("AutoencoderKL", "AutoencoderTiny")


@runtime_checkable
class LatentSpace(Protocol):
    """Encodes pictures as latents of about unit scale and decodes them; frozen, without gradients.

    ``factor`` is the number of pixels along a latent's side; it must divide the pictures' sides.
    """

    channels: int
    factor: int

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, C, H/f, W/f]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, H/f, W/f] -> [B, 3, H, W] in [-1, 1]."""
        ...


class Pixels(nn.Module):
    """The pictures themselves."""

    channels, factor = 3, 1

    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> the same."""
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        """[B, 3, H, W] -> the same, in [-1, 1]."""
        return latents.clamp(-1, 1)


class Taef2(nn.Module):
    """FLUX.2's latents by its tiny autoencoder, at unit scale; ``pretrained`` holds taef2_encoder.pth and _decoder.pth.

    Raises WeightsMissingError.
    """

    channels, factor = CHANNELS, FACTOR

    def __init__(self, pretrained: str) -> None:
        super().__init__()
        self.model = TinyAutoencoder()
        try:
            for name, part in (("encoder", self.model.encoder), ("decoder", self.model.decoder)):
                file = Path(pretrained) / f"taef2_{name}.pth"
                load_exactly(part, read_pickle(file), str(file), _remedy(TAEF2_FILES))
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise _missing(pretrained, TAEF2_FILES, error) from error
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, 32, H/8, W/8]."""
        return self.model.encode((pixels + 1) / 2) / TAEF2_DEVIATION

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B, 32, H/8, W/8] -> [B, 3, H, W] in [-1, 1]."""
        return (self.model.decode(latents * TAEF2_DEVIATION) * 2 - 1).clamp(-1, 1)


class Autoencoder(nn.Module):
    """The latents of a diffusers AutoencoderKL (the mean of its posterior) or AutoencoderTiny.

    ``pretrained`` is a hub name or a local `save_pretrained` folder, ``subfolder`` the autoencoder's folder in it
    ("vae" in a pipeline's). Shift and scale of the latents come from its own configuration. Raises
    WeightsMissingError, and UserError for another kind of autoencoder.
    """

    shift: Tensor  # [1, C, 1, 1]
    deviation: Tensor

    def __init__(self, pretrained: str, subfolder: str | None = None) -> None:
        super().__init__()
        self.model: Any = _load(pretrained, subfolder)
        config = self.model.config
        self.channels = int(config.latent_channels)
        self.factor = 2 ** (len(config.block_out_channels) - 1)
        shift = config.get("latents_mean") or config.get("shift_factor") or 0.0
        deviation = config.get("latents_std") or 1 / config.scaling_factor
        for name, value in (("shift", shift), ("deviation", deviation)):
            spread = torch.tensor(value, dtype=torch.float32).reshape(1, -1, 1, 1).expand(1, self.channels, 1, 1)
            self.register_buffer(name, spread.clone(), persistent=False)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, C, H/f, W/f]."""
        found = self.model.encode(pixels)
        latents: Tensor = found.latents if "latents" in found else found.latent_dist.mean
        return (latents - self.shift) / self.deviation

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, H/f, W/f] -> [B, 3, H, W] in [-1, 1]."""
        pixels: Tensor = self.model.decode(latents * self.deviation + self.shift).sample
        return pixels.clamp(-1, 1)


def _load(pretrained: str, subfolder: str | None) -> Any:
    import diffusers

    where = {"subfolder": subfolder} if subfolder else {}
    what = "that save_pretrained wrote (for a pipeline's, add +augmenter.latents.subfolder=vae)"
    try:
        kind = diffusers.AutoencoderKL.load_config(pretrained, **where).get("_class_name")
        if kind not in KINDS:
            raise UserError(
                f"'{pretrained}' holds a model of the kind '{kind}', not one of {', '.join(KINDS)}. Give the hub name"
                " or folder of one with augmenter.pretrained=<folder>"
            )
        model, found = getattr(diffusers, kind).from_pretrained(pretrained, low_cpu_mem_usage=False, **TELLING, **where)
    except (OSError, ValueError, RuntimeError) as error:
        raise _missing(pretrained, what, error) from error
    refuse_loading(pretrained, _remedy(what), found)
    return model


def _missing(pretrained: str, what: str, error: Exception) -> WeightsMissingError:
    reason = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".:") or type(error).__name__
    return WeightsMissingError(f"the weights of '{pretrained}' cannot be had ({reason}). {_remedy(what)}")


def _remedy(what: str) -> str:
    return f"Give a local folder {what} with augmenter.pretrained=<folder>"
