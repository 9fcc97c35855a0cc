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
    """What the network sees beside noise and action: latents of a ``source`` view and a ``draft``, [B, C, H, W] each,

    and the encoder's ``tokens`` [B, T, E] and ``pooled`` [B, E] of the source.
    """

    source: Tensor
    draft: Tensor
    tokens: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class ViewSampler:
    """How the path from noise to view is followed.

    ``steps`` of Euler, or of Heun; ``guidance`` 1 is none, more pushes away from what an unguided network would draw of
    the draft alone. A ``temperature`` below 1 shrinks the noise: likelier, calmer views of less variety.
    """

    steps: int = 12
    guidance: float = 1.0
    heun: bool = False
    temperature: float = 1.0

    @torch.no_grad()
    def translate(
        self, network: Any, given: Given, action: Tensor, noise: Tensor, start: Tensor, hold: Tensor | None = None
    ) -> Tensor:
        """Return the latents [B, C, H, W] of one new view per draft, drawn by ``network``, a ViewDiT.

        ``action`` [B] names the view, ``noise`` [B, C, H, W] decides between equals. The path starts at time ``start``
        [B] from the draft: less than 1 keeps something of it. ``hold`` [B, 1, H, W] is 1 where the draft's latents are
        to stay as they are.
        """
        everything = torch.ones(len(noise), len(CONDITIONS), dtype=torch.bool, device=noise.device)
        draft_alone = everything & torch.tensor([c == "draft" for c in CONDITIONS], device=noise.device)
        noise = self.temperature * noise
        seen = given.source, given.draft, given.tokens, given.pooled, action

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            conditional: Tensor = network(x, t, *seen, keep=everything)
            if self.guidance == 1:
                return conditional
            return guided(conditional, network(x, t, *seen, keep=draft_alone), self.guidance)

        def held(x: Tensor, t: Tensor) -> Tensor:
            return x if hold is None else torch.where(hold > 0.5, interpolate(given.draft, noise, t), x)

        first = interpolate(given.draft, noise, start)
        return integrate(velocity, first, start, self.steps, self.heun, held)
