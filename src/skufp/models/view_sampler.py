"""From one view to another: the sampler around a ViewDiT (models/dit.py).

Legend: B batch, C channels and H W sides of the latents, T source tokens, E widths of the image encoder.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skufp.models.dit import CONDITIONS
from skufp.models.flow import guided, integrate, interpolate


@dataclass
class Given:
    """The network's inputs besides noise and view condition.

    Latents of a ``source`` view and a ``draft``, [B, C, H, W] each; the encoder's ``tokens`` [B, T, E] and ``pooled``
    [B, E] embeddings of the source.
    """

    source: Tensor
    draft: Tensor
    tokens: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class ViewSampler:
    """The settings of the sampler.

    ``steps`` of Euler, or of Heun. ``guidance`` is the scale of classifier-free guidance against the draft alone; 1 is
    no guidance. A ``temperature`` below 1 shrinks the noise: likelier views of less variety.
    """

    steps: int = 12
    guidance: float = 1.0
    heun: bool = False
    temperature: float = 1.0

    @torch.no_grad()
    def translate(
        self, network: Any, given: Given, view_kind: Tensor, noise: Tensor, start: Tensor, hold: Tensor | None = None
    ) -> Tensor:
        """Return the latents [B, C, H, W] of one new view per draft, drawn by ``network``, a ViewDiT.

        ``view_kind`` [B] is the view condition. The path starts at time ``start`` [B] between the draft (0) and
        ``noise`` [B, C, H, W] (1). ``hold`` [B, 1, H, W] is 1 where the draft's latents are kept.
        """
        everything = torch.ones(len(noise), len(CONDITIONS), dtype=torch.bool, device=noise.device)
        draft_alone = everything & torch.tensor([c == "draft" for c in CONDITIONS], device=noise.device)
        noise = self.temperature * noise
        seen = given.source, given.draft, given.tokens, given.pooled, view_kind

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            conditional: Tensor = network(x, t, *seen, keep=everything)
            if self.guidance == 1:
                return conditional
            return guided(conditional, network(x, t, *seen, keep=draft_alone), self.guidance)

        def held(x: Tensor, t: Tensor) -> Tensor:
            return x if hold is None else torch.where(hold > 0.5, interpolate(given.draft, noise, t), x)

        first = interpolate(given.draft, noise, start)
        return integrate(velocity, first, start, self.steps, self.heun, held)
