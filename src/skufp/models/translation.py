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
class Source:
    """What the network sees of a source view: ``latents`` [B, C, H, W], ``tokens`` [B, T, E], ``pooled`` [B, E]."""

    latents: Tensor
    tokens: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class Sampler:
    """How the path from noise to view is followed.

    ``steps`` of Euler, or of Heun; ``guidance`` 1 is none, more pushes away from what an unguided network would draw of
    the source latents alone. A ``temperature`` below 1 shrinks the noise: likelier, calmer views of less variety.
    """

    steps: int = 12
    guidance: float = 1.0
    heun: bool = False
    temperature: float = 1.0

    @torch.no_grad()
    def translate(
        self, network: Any, source: Source, action: Tensor, noise: Tensor, start: Tensor,
        begin: Tensor | None = None, hold: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the latents [B, C, H, W] of one new view per source, drawn by ``network``, a ViewDiT.

        ``action`` [B] names the view, ``noise`` [B, C, H, W] decides between equals. The path starts at time ``start``
        [B] from the source itself, or from ``begin`` [B, C, H, W]: less than 1 keeps something of it. ``hold``
        [B, 1, H, W] is 1 where the source's latents are to stay as they are.
        """
        everything = torch.ones(len(noise), len(CONDITIONS), dtype=torch.bool, device=noise.device)
        source_alone = everything & torch.tensor([c == "source" for c in CONDITIONS], device=noise.device)
        noise = self.temperature * noise
        given = source.latents, source.tokens, source.pooled, action

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            conditional: Tensor = network(x, t, *given, keep=everything)
            if self.guidance == 1:
                return conditional
            return guided(conditional, network(x, t, *given, keep=source_alone), self.guidance)

        def held(x: Tensor, t: Tensor) -> Tensor:
            return x if hold is None else torch.where(hold > 0.5, interpolate(source.latents, noise, t), x)

        first = interpolate(source.latents if begin is None else begin, noise, start)
        return integrate(velocity, first, start, self.steps, self.heun, held)
