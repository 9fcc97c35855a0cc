"""Views drawn by the diffusion transformer that stage=augmenter trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.config import build
from skufp.errors import UserError
from skufp.generation.pictures import garment, hold_garment, squared
from skufp.generation.request import ViewRequest
from skufp.models.preprocessing import Preprocessing

AUGMENTER_FILE = "augmenter.json"  # what must be known beside the network: latents, actions, encoder
NETWORK = "dit"


def save_augmenter(module: Any, data: Any, out: Path) -> None:
    """Write the network as a diffusers folder, `dit/`, and augmenter.json."""
    from skufp.modules.encoder_folder import encoder_marks

    module.network.save_pretrained(out / NETWORK)
    settings = module.hparams
    about = {"latents": dict(settings["latents"]), "actions": list(module.actions),
             "image_size": settings["image_size"],
             "encoder": encoder_marks(Path(settings["encoder_folder"]))["fingerprint"]}  # fmt: skip
    write_json(out / AUGMENTER_FILE, about)


class DiTViews:
    """A ViewGenerator: the augmenter in ``augmenter`` (a stage folder), given the encoder in ``encoder``.

    The path starts as a request's ``noise`` says, from its source, or, for a counterfactual, from its source under the
    conditions of the SKU it leads to. Raises UserError where the augmenter was trained with another encoder.
    """

    def __init__(
        self, augmenter: str, encoder: str, steps: int = 12, guidance: float = 1.0, heun: bool = False,
        temperature: float = 1.0, batch_size: int = 64,
    ) -> None:  # fmt: skip
        import torch

        from skufp.models.dit import ViewDiT
        from skufp.models.dual_encoder import WeightsMissingError
        from skufp.models.translation import Sampler
        from skufp.modules.encoder_folder import encoder_marks, load_encoder

        about = read_json(Path(augmenter) / AUGMENTER_FILE)
        if about["encoder"] != encoder_marks(Path(encoder))["fingerprint"]:
            raise UserError(f"the augmenter in {augmenter} was trained with another encoder than the one in {encoder}")
        self.size, self.actions = int(about["image_size"]), list(about["actions"])
        self.batch_size, self.device = batch_size, torch.device("cpu")
        self.network = ViewDiT.from_pretrained(Path(augmenter) / NETWORK, low_cpu_mem_usage=False).eval()
        try:
            self.latents = build(about["latents"]).eval()
        except WeightsMissingError as error:
            raise UserError(f"the augmenter in {augmenter} cannot be used: {error}") from error
        self.encoder = load_encoder(Path(encoder))
        self.sampler = Sampler(steps, guidance, heun, temperature)

    def to(self, device: Any) -> "DiTViews":
        """Move the networks to a torch device; return itself."""
        for network in (self.network, self.latents, self.encoder):
            network.to(device)
        self.device = device
        return self

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        """Return one RGB [size, size, 3] uint8 picture for every request, in order."""
        starts = range(0, len(requests), self.batch_size)
        return [picture for start in starts for picture in self._draw(requests[start : start + self.batch_size])]

    def _draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        import torch

        from skufp.models.translation import Source

        shown = [r.picture if r.toward is None else r.toward for r in requests]
        with torch.inference_mode():
            begin = self.latents.encode(self._pixels([r.picture for r in requests]))
            seen = Source(self.latents.encode(self._pixels(shown)), *self._describe(shown))
            noise = torch.stack([_noise(r.seed, begin.shape[1:]) for r in requests]).to(self.device)
            start = torch.tensor([r.noise for r in requests], dtype=torch.float32, device=self.device)
            action = torch.tensor([self._action(r.like) for r in requests], device=self.device)
            hold = self._held(requests, begin.shape[-1])
            latents = self.sampler.translate(self.network, seen, action, noise, start, begin, hold)
            pixels = self.latents.decode(latents).float().clamp(-1, 1).permute(0, 2, 3, 1).cpu().numpy()
        drawn = ((pixels + 1) * 127.5).round().astype(np.uint8)
        return [hold_garment(request, picture) for request, picture in zip(requests, drawn, strict=True)]

    def _describe(self, pictures: list[np.ndarray]) -> Any:
        return self.encoder.encode_tokens(self._stack(self.encoder.preprocessing, pictures))

    def _pixels(self, pictures: list[np.ndarray]) -> Any:
        """Return [B, 3, size, size] in [-1, 1], as the augmenter was trained on."""
        return self._stack(Preprocessing(self.size), pictures)

    def _stack(self, preprocessing: Preprocessing, pictures: list[np.ndarray]) -> Any:
        import torch

        return torch.from_numpy(np.stack([preprocessing(Image.fromarray(p)) for p in pictures])).to(self.device)

    def _held(self, requests: Sequence[ViewRequest], side: int) -> Any:
        """Return [B, 1, side, side]: the share of a latent's pixels that keep_garment holds; None where none does."""
        import torch

        if not any(r.action.keep_garment for r in requests):
            return None
        nothing = np.zeros((self.size, self.size), np.float32)
        masks = [squared(garment(r), self.size) if r.action.keep_garment else nothing for r in requests]
        return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(np.stack(masks))[:, None], side).to(self.device)

    def _action(self, name: str) -> int:
        if name not in self.actions:
            raise UserError(f"views.actions: the augmenter knows no '{name}', only {', '.join(self.actions)}")
        return self.actions.index(name)


def _noise(seed: int, shape: Sequence[int]) -> Any:
    import torch

    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
