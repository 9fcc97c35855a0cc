"""A diffusion transformer (DiT, adaLN-Zero) that turns one catalogue view into another of the same SKU.

Legend: B batch, C channels and H W sides of the latents (or pixels), N patches, T source tokens, E width of the image
encoder, D width of the transformer.
Paper: Peebles and Xie, Scalable Diffusion Models with Transformers, arXiv 2212.09748 (section 3.2, adaLN-Zero; table 1,
sizes). Cross-attention stands between self-attention and MLP, as in PixArt-α, arXiv 2310.00426.
"""

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import PatchEmbed, TimestepEmbedding, Timesteps
from diffusers.models.normalization import AdaLayerNormContinuous, AdaLayerNormZero
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skufp.models.flow import gaussian_velocity

SIZES = {"tiny": (128, 4, 2), "S": (384, 12, 6), "B": (768, 12, 12)}  # width, depth, heads
PREDICTS = ("velocity", "change")
CONDITIONS = ("source", "draft", "tokens", "pooled", "action")  # the columns of `keep`; "action" is the view condition
FREQUENCIES = 256
TIME_SCALE = 1000.0  # the sinusoids were made for 1,000 diffusion steps


class DiTBlock(nn.Module):
    """Self-attention, cross-attention to the source's tokens, MLP; every branch outputs 0 at initialisation."""

    def __init__(self, width: int, heads: int, token_width: int) -> None:
        super().__init__()
        self.norm1 = AdaLayerNormZero(width)
        self.attention = Attention(width, heads=heads, dim_head=width // heads, bias=True)
        self.cross_norm = nn.LayerNorm(width, eps=1e-6)
        self.cross_attention = Attention(
            width, cross_attention_dim=token_width, heads=heads, dim_head=width // heads, bias=True
        )
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = FeedForward(width, activation_fn="gelu-approximate")
        _switch_off(self.norm1.linear)
        _switch_off(self.cross_attention.to_out[0])

    def forward(self, x: Tensor, tokens: Tensor, condition: Tensor) -> Tensor:
        """[B, N, D], [B, T, D], [B, D] -> [B, N, D]."""
        h, gate, shift_mlp, scale_mlp, gate_mlp = self.norm1(x, emb=condition)
        x = x + gate[:, None] * self.attention(h)
        x = x + self.cross_attention(self.cross_norm(x), encoder_hidden_states=tokens)
        h = self.norm2(x) * (1 + scale_mlp[:, None]) + shift_mlp[:, None]
        return x + gate_mlp[:, None] * self.mlp(h)


def _switch_off(layer: Any) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


class ViewDiT(ModelMixin, ConfigMixin):
    """Predicts the velocity of a view's noisy latents, given a source view and a view condition; a diffusers model.

    The source view enters three times: its latents by channel concatenation, its image encoder's tokens by
    cross-attention, its pooled embedding (with view condition and time) by adaLN. The draft's latents are concatenated
    too; in the draft (data/drafts.py) the source's garment is roughly in place. ``size`` is tiny, S or B; ``patch`` is
    the side of a patch in latents. ``actions`` is the number of view conditions, the kinds of view.

    ``predicts`` is the meaning of the last layer: the velocity, or its difference from the expected velocity of views
    that are normal about their draft with deviation ``change`` [C] (about 0 with deviation ``spread`` [C] where the
    draft is hidden); calibrate() measures both. At initialisation the output is the draft plus noise; inputs and
    outputs have unit variance, so a small network has less to learn. Saved and loaded by ``save_pretrained`` and
    ``from_pretrained``.
    """

    change: Tensor
    spread: Tensor

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self, size: str = "tiny", patch: int = 2, channels: int = 4, side: int = 32, actions: int = 4,
        encoder_dim: int = 768, token_dim: int = 768, predicts: str = "velocity",
    ) -> None:  # fmt: skip
        super().__init__()
        if size not in SIZES or predicts not in PREDICTS or side % patch:
            raise ValueError(
                f"size={size}, predicts={predicts}, patch={patch}: size is one of {', '.join(SIZES)}, predicts one of"
                f" {', '.join(PREDICTS)}, and the patch divides the latents' side, {side}"
            )
        width, depth, heads = SIZES[size]
        self.gradient_checkpointing = False
        self.patches = PatchEmbed(side, side, patch, 3 * channels, width)
        self.frequencies = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(FREQUENCIES, width)
        self.pooled = nn.Linear(encoder_dim, width)
        self.tokens = nn.Linear(token_dim, width)
        self.action_embedding = nn.Embedding(actions + 1, width)  # of the view condition; the last row: none
        self.no_tokens = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList(DiTBlock(width, heads, width) for _ in range(depth))
        self.norm_out = AdaLayerNormContinuous(width, width, elementwise_affine=False, eps=1e-6)
        self.out = nn.Linear(width, patch * patch * channels)
        self.register_buffer("change", torch.ones(channels))
        self.register_buffer("spread", torch.ones(channels))
        nn.init.normal_(self.action_embedding.weight, std=0.02)
        _switch_off(self.norm_out.linear)
        _switch_off(self.out)

    def forward(
        self, noisy: Tensor, t: Tensor, source: Tensor, draft: Tensor, tokens: Tensor, pooled: Tensor,
        view_kind: Tensor, keep: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Noisy latents [B, C, H, W] at times ``t`` [B] -> their velocity.

        ``source`` and ``draft`` are latents [B, C, H, W], ``tokens`` [B, T, E] and ``pooled`` [B, E] the source's
        embeddings. ``view_kind`` [B], the view condition, is the id of the kind of view to draw. ``keep`` [B, 5] bool
        marks which of CONDITIONS each sample may use (None: all), for classifier-free guidance.
        """
        keep = torch.ones(len(noisy), len(CONDITIONS), dtype=torch.bool, device=noisy.device) if keep is None else keep
        has_source, has_draft, has_tokens, has_pooled, has_kind = keep.to(noisy.device).unbind(dim=1)
        source = source.to(noisy.dtype) * has_source[:, None, None, None]
        draft = draft.to(noisy.dtype) * has_draft[:, None, None, None]
        by_change = self.config["predicts"] == "change"
        if by_change:
            deviation = torch.where(has_draft[:, None], self.change, self.spread).to(noisy.dtype)[:, :, None, None]
            expected, uncertainty = gaussian_velocity(noisy, t, draft, deviation)
            remote = (noisy - (1 - t.to(noisy.dtype))[:, None, None, None] * draft) * uncertainty / deviation
            x = self.patches(torch.cat([remote, torch.cat([source, draft], dim=1) / self._unit(noisy)], dim=1))
        else:
            x = self.patches(torch.cat([noisy, source, draft], dim=1))
        context = torch.where(has_tokens[:, None, None], self.tokens(tokens.to(x.dtype)), self.no_tokens.to(x.dtype))
        no_kind = self.action_embedding.num_embeddings - 1
        condition = self.time(self.frequencies(t * TIME_SCALE).to(x.dtype))
        condition = condition + self.pooled(pooled.to(x.dtype)) * has_pooled[:, None]
        condition = condition + self.action_embedding(torch.where(has_kind, view_kind, no_kind))
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, context, condition, use_reentrant=False)
            else:
                x = block(x, context, condition)
        predicted = self._unpatch(self.out(self.norm_out(x, condition)))
        return expected - uncertainty * predicted if by_change else predicted

    @torch.no_grad()
    def calibrate(self, draft: Tensor, target: Tensor) -> None:
        """Measure ``change`` and ``spread`` on views and their drafts, ``target`` and ``draft`` [B, C, H, W]."""
        self.change.copy_((target - draft).square().mean(dim=(0, 2, 3)).sqrt().clamp_min(1e-3))
        self.spread.copy_(target.square().mean(dim=(0, 2, 3)).sqrt().clamp_min(1e-3))

    def _unit(self, like: Tensor) -> Tensor:
        """Return the deviation of source and draft latents, concatenated: [2 C, 1, 1]."""
        return self.spread.to(like.dtype).repeat(2)[:, None, None]

    def _unpatch(self, x: Tensor) -> Tensor:
        """[B, N, P P C] -> [B, C, H, W]."""
        config: Any = self.config
        p, c, n = config.patch, config.channels, config.side // config.patch
        x = x.reshape(len(x), n, n, p, p, c)
        return torch.einsum("bhwpqc->bchpwq", x).reshape(len(x), c, n * p, n * p)
