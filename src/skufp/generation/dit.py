"""Views drawn by the diffusion transformer that stage=augmenter trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.config import build
from skufp.data.augment import paste, squared
from skufp.data.drafts import draft, garment_mask
from skufp.errors import UserError
from skufp.generation.pictures import backdrop, garment, hold_garment
from skufp.generation.request import Photo, ViewRequest
from skufp.models.preprocessing import Preprocessing

AUGMENTER_FILE = "augmenter.json"  # everything but the network: latents, kinds of view ("actions"), encoder
NETWORK = "dit"


def save_augmenter(module: Any, data: Any, out: Path) -> None:
    """Write the network as a diffusers folder, `dit/`, and augmenter.json."""
    from skufp.modules.encoder_folder import encoder_marks

    module.network.save_pretrained(out / NETWORK)
    settings = module.hparams
    about = {"latents": dict(settings["latents"]), "actions": list(module.actions),
             "image_size": settings["image_size"], "drafts": data.drafts,
             "encoder": encoder_marks(Path(settings["encoder_folder"]))["fingerprint"]}  # fmt: skip
    write_json(out / AUGMENTER_FILE, about)


class DiTViews:
    """A ViewGenerator that samples the augmenter in ``augmenter`` (a stage folder) with the encoder in ``encoder``.

    Sampling starts from a draft (data/drafts.py) at a request's ``noise``. The draft shows the source's garment in the
    request's layout, or on another background with keep_garment. For a counterfactual the garment is that of the other
    SKU and the layout is the source. Outside the garment the layout's pixels are kept. Raises UserError where the
    augmenter was trained with another encoder.
    """

    def __init__(
        self, augmenter: str, encoder: str, steps: int = 12, guidance: float = 1.0, heun: bool = False,
        temperature: float = 1.0, batch_size: int = 64,
    ) -> None:  # fmt: skip
        import torch

        from skufp.models.dit import ViewDiT
        from skufp.models.dual_encoder import WeightsMissingError
        from skufp.models.view_sampler import ViewSampler
        from skufp.models.weights import TELLING, refuse_loading
        from skufp.modules.encoder_folder import encoder_marks, load_encoder

        about = read_json(Path(augmenter) / AUGMENTER_FILE)
        if about["encoder"] != encoder_marks(Path(encoder))["fingerprint"]:
            raise UserError(f"the augmenter in {augmenter} was trained with another encoder than the one in {encoder}")
        self.size, self.kinds = int(about["image_size"]), list(about["actions"])
        self.drafts = bool(about["drafts"])
        self.batch_size, self.device = batch_size, torch.device("cpu")
        folder = Path(augmenter) / NETWORK
        network, loading = ViewDiT.from_pretrained(folder, low_cpu_mem_usage=False, **TELLING)
        refuse_loading(str(folder), "Train the augmenter again: python -m skufp stage=augmenter", loading)
        self.network = network.eval()
        try:
            self.latents = build(about["latents"]).eval()
        except WeightsMissingError as error:
            raise UserError(f"the augmenter in {augmenter} cannot be used: {error}") from error
        self.encoder = load_encoder(Path(encoder))
        self.sampler = ViewSampler(steps, guidance, heun, temperature)

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

        from skufp.models.view_sampler import Given

        shown = [_own(request) if request.toward is None else request.toward for request in requests]
        layouts = [self._layout(request) for request in requests]
        pictures, drafts = (self._pixels([photo.picture for photo in photos]) for photos in (shown, layouts))
        if self.drafts:
            drafts = np.stack([draft(picture, self._mask(photo), around, self._mask(layout))
                               for picture, photo, around, layout in zip(pictures, shown, drafts, layouts, strict=True)
                               ])  # fmt: skip
        with torch.inference_mode():
            source, drafted = (self.latents.encode(self._tensor(pixels)) for pixels in (pictures, drafts))
            given = Given(source, drafted, *self._describe([photo.picture for photo in shown]))
            noise = torch.stack([_noise(r.seed, source.shape[1:]) for r in requests]).to(self.device)
            start = torch.tensor([r.noise for r in requests], dtype=torch.float32, device=self.device)
            view_kind = torch.tensor([self._kind_id(r.like) for r in requests], device=self.device)
            hold = self._held(requests, source.shape[-1])
            latents = self.sampler.translate(self.network, given, view_kind, noise, start, hold)
            pixels = self.latents.decode(latents).float().clamp(-1, 1).permute(0, 2, 3, 1).cpu().numpy()
        drawn = ((pixels + 1) * 127.5).round().astype(np.uint8)
        return [self._finish(*each) for each in zip(requests, layouts, drawn, strict=True)]

    def _layout(self, request: ViewRequest) -> Photo:
        """Return the photo in which the garment is to appear."""
        if not self.drafts:
            return _own(request)
        if request.condition.keep_garment:
            mask = squared(garment(request), self.size)
            return Photo(backdrop(request, self.size, np.random.default_rng(request.seed)), mask)
        if request.toward is not None or request.layout is None:
            return _own(request)
        return request.layout

    def _finish(self, request: ViewRequest, layout: Photo, drawn: np.ndarray) -> np.ndarray:
        """Restore known pixels: the source's garment with keep_garment, else another layout's surroundings."""
        if request.condition.keep_garment:
            return hold_garment(request, drawn)
        if not self.drafts or (request.toward is None and request.layout is None):
            return drawn
        return paste(drawn, self._mask(layout), squared(layout.picture, self.size))

    def _mask(self, photo: Photo) -> np.ndarray:
        return squared(garment_mask(photo.picture, photo.mask), self.size)

    def _describe(self, pictures: list[np.ndarray]) -> Any:
        return self.encoder.encode_tokens(self._tensor(_stack(self.encoder.preprocessing, pictures)))

    def _pixels(self, pictures: list[np.ndarray]) -> np.ndarray:
        """Return [B, 3, size, size] in [-1, 1], the augmenter's input range."""
        return _stack(Preprocessing(self.size), pictures)

    def _tensor(self, pixels: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(pixels).to(self.device)

    def _held(self, requests: Sequence[ViewRequest], side: int) -> Any:
        """Return [B, 1, side, side]: the share of each latent's pixels that keep_garment holds; None if none."""
        import torch

        if not any(r.condition.keep_garment for r in requests):
            return None
        nothing = np.zeros((self.size, self.size), np.float32)
        masks = [squared(garment(r), self.size) if r.condition.keep_garment else nothing for r in requests]
        return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(np.stack(masks))[:, None], side).to(self.device)

    def _kind_id(self, name: str) -> int:
        if name not in self.kinds:
            raise UserError(f"views.actions: the augmenter knows no '{name}', only {', '.join(self.kinds)}")
        return self.kinds.index(name)


def _own(request: ViewRequest) -> Photo:
    return Photo(request.picture, request.mask)


def _stack(preprocessing: Preprocessing, pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([preprocessing(Image.fromarray(picture)) for picture in pictures])


def _noise(seed: int, shape: Sequence[int]) -> Any:
    import torch

    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
