"""Views drawn by a pretrained diffusers image-to-image pipeline.

Source: Meng et al., SDEdit, arXiv 2108.01073 (the source is partly noised, and denoised from there).
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from skufp.data.augment import squared
from skufp.errors import UserError, nearest
from skufp.generation.pictures import backdrop, hold_garment
from skufp.generation.pipeline_weights import load_lora, load_pipeline
from skufp.generation.request import ViewRequest

DTYPES = ("float32", "bfloat16", "float16")
ANY_CATEGORY = "garment"  # replaces {category} where a request has none


class Img2ImgViews:
    """A diffusers pipeline that edits the source view by a text prompt.

    ``pretrained`` is a hub name or a local `save_pretrained` folder, ``lora`` a LoRA file, folder or hub name on top of
    it. ``prompts`` has a text for every view condition; ``{category}`` in it becomes the request's category. A
    request's noise is diffusers' ``strength``: the share of the ``steps`` denoising steps that is run, at least one.
    Only the prompt leads a counterfactual toward another SKU. keep_garment pastes the source's garment in front, cut
    out by its mask or from an even background; with ``clean`` too, nothing is generated. A view that the pipeline's
    safety checker blanks is black, and the filter rejects it. Raises UserError.
    """

    def __init__(
        self, pretrained: str, prompts: Mapping[str, str], size: int = 512, steps: int = 30, guidance: float = 6.0,
        lora: str | None = None, negative_prompt: str | None = None, dtype: str = "float32", batch_size: int = 4,
    ) -> None:  # fmt: skip
        import torch

        if min(size, steps, batch_size) < 1 or dtype not in DTYPES:
            raise UserError(
                f"views.generator needs size, steps and batch_size of 1 or more ({size}, {steps}, {batch_size}) and a"
                f" dtype of {', '.join(DTYPES)} ('{dtype}')"
            )
        self.prompts = dict(prompts)
        for name in self.prompts:
            self._prompt(name, "")
        self.size, self.steps, self.batch_size = size, steps, batch_size
        self.pipe = load_pipeline(pretrained)
        self.settings = _settings(self.pipe, pretrained, size, steps, guidance, negative_prompt)
        if lora is not None:
            load_lora(self.pipe, lora)
        self.pipe.to(getattr(torch, dtype))
        self.pipe.set_progress_bar_config(disable=True)

    def to(self, device: Any) -> "Img2ImgViews":
        """Move the pipeline to a torch device; return itself."""
        self.pipe.to(device)
        return self

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        """Return one RGB [size, size, 3] uint8 picture for every request, in order."""
        drawn, groups = {}, defaultdict(list)
        for index, request in enumerate(requests):
            if request.condition.keep_garment and request.condition.clean:
                drawn[index] = backdrop(request, self.size, np.random.default_rng(request.seed))
            else:
                groups[self._steps_of(request.noise)].append(index)
        for steps, indices in groups.items():  # the strength is one number for a whole batch
            drawn.update(zip(indices, self._generate([requests[i] for i in indices], steps), strict=True))
        # some pipelines round the side to a multiple of 8 or 16
        return [hold_garment(request, squared(drawn[i], self.size)) for i, request in enumerate(requests)]

    def _generate(self, requests: list[ViewRequest], steps: int) -> Iterator[np.ndarray]:
        """Run the pipeline in full batches: arithmetic differs with a batch's size, and equal requests must not."""
        import torch
        from PIL import Image

        for start in range(0, len(requests), self.batch_size):
            batch = requests[start : start + self.batch_size]
            full = batch + batch[-1:] * (self.batch_size - len(batch))
            result = self.pipe(
                prompt=[self._prompt(r.condition.name, r.category) for r in full],
                image=[Image.fromarray(squared(r.picture, self.size)) for r in full],
                generator=[torch.Generator().manual_seed(r.seed) for r in full],
                strength=_strength(steps, self.steps),
                **{k: [v] * len(full) if k == "negative_prompt" else v for k, v in self.settings.items()},
            )
            yield from (np.asarray(image.convert("RGB")) for image in result.images[: len(batch)])

    def _steps_of(self, noise: float) -> int:
        return min(self.steps, max(1, round(noise * self.steps)))

    def _prompt(self, name: str, category: str) -> str:
        if name not in self.prompts:
            raise UserError(
                f"no prompt for the view condition '{name}'.{nearest(name, self.prompts)}"
                f" Give views.generator.prompts.{name}=<text>"
            )
        try:
            return self.prompts[name].format(category=category or ANY_CATEGORY)
        except (LookupError, ValueError) as error:
            raise UserError(
                f"the prompt of '{name}' cannot be filled in: '{self.prompts[name]}' ({error})."
                " {category} is the only name that it may hold; write a literal brace twice"
            ) from error


def _strength(steps: int, of: int) -> float:
    """Return the strength that runs ``steps`` of ``of`` steps: pipelines round the product down."""
    strength = steps / of
    return strength if int(strength * of) == steps else math.nextafter(strength, 1)


def _settings(
    pipe: Any, pretrained: str, size: int, steps: int, guidance: float, negative_prompt: str | None
) -> dict[str, Any]:
    """Return the arguments of every call, limited to those that this pipeline accepts. Raises UserError."""
    known = inspect.signature(type(pipe).__call__).parameters
    name = type(pipe).__name__
    if "strength" not in known:
        raise UserError(
            f"'{pretrained}' is a {name}: it edits by instruction and cannot start part of the way from its source."
            " Give a pipeline that takes a strength with views.generator.pretrained=<folder>"
        )
    if negative_prompt and "negative_prompt" not in known:
        raise UserError(f"a {name} takes no negative prompt. Set views.generator.negative_prompt=null")
    wanted: dict[str, Any] = {"height": size, "width": size, "num_inference_steps": steps, "guidance_scale": guidance}
    if negative_prompt:
        wanted["negative_prompt"] = negative_prompt
    return {key: value for key, value in wanted.items() if key in known}
