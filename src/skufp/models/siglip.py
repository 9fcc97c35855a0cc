"""SigLIP, SigLIP 2 and CLIP through transformers, and a tiny untrained SigLIP.

Legend: B batch, H W pixels, T tokens, D embedding dim.
Papers: SigLIP, arXiv 2303.15343; SigLIP 2, arXiv 2502.14786; CLIP, arXiv 2103.00020.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, SiglipConfig, SiglipModel
from transformers.utils import logging

from skufp.models.dual_encoder import freeze
from skufp.models.preprocessing import Preprocessing
from skufp.models.pretrained import REMEDY, load_pretrained, processor_config
from skufp.models.weights import load_exactly, read_safetensors

logging.disable_progress_bar()
logging.set_verbosity_error()
HEADS = "heads.safetensors"


class ResidualHead(nn.Linear):
    """x + Wx with W = 0 at initialisation, hence the identity; it trains when the towers are frozen."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, D]."""
        return x + super().forward(x)


class SiglipEncoder(nn.Module):
    """A transformers image-text model as a TrainableEncoder.

    ``pretrained`` is a hub name or a local folder, of `save_pretrained` or a SigLIP of open_clip. Raises
    WeightsMissingError, also where the weights do not fit the model exactly.
    """

    def __init__(self, pretrained: str) -> None:
        super().__init__()
        self._assemble(*load_pretrained(pretrained))
        if (heads := Path(pretrained) / HEADS).is_file():
            weights = read_safetensors(heads, REMEDY)
            load_exactly(self, weights, str(heads), REMEDY, elsewhere=("model.", "logit_scale"))

    @classmethod
    def from_parts(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, preprocessing: Preprocessing
    ) -> "SiglipEncoder":
        """Make an encoder from objects in memory."""
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self._assemble(model, tokenizer, preprocessing)
        return self

    def _assemble(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, preprocessing: Preprocessing
    ) -> None:
        self.model: Any = model  # its feature methods are found by name
        self.tokenizer, self.preprocessing = tokenizer, preprocessing
        text = model.config.text_config
        self.dim = int(getattr(model.config, "projection_dim", None) or model.config.vision_config.hidden_size)
        self.max_length = int(text.max_position_embeddings)
        self.token_dim = int(model.config.vision_config.hidden_size)
        self.is_clip = model.config.model_type == "clip"
        self.image_head, self.text_head = ResidualHead(self.dim), ResidualHead(self.dim)
        self.logit_scale: nn.Parameter = getattr(model, "logit_scale")  # noqa: B009
        bias = getattr(model, "logit_bias", None)
        self.logit_bias: nn.Parameter = bias if bias is not None else nn.Parameter(torch.tensor([-10.0]))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, D], unit norm."""
        return self.encode_tokens(pixels)[1]

    def encode_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> the vision tower's last tokens [B, T, token_dim], and as encode_image [B, D]."""
        seen = self.model.get_image_features(pixel_values=pixels)
        return seen.last_hidden_state, F.normalize(self.image_head(seen.pooler_output), dim=-1)

    def encode_text(self, texts: list[str]) -> Tensor:
        """B strings -> [B, D], unit norm. SigLIP was trained on lower case, padded to its full length."""
        padding = {"padding": True} if self.is_clip else {"padding": "max_length"}
        tokens = self.tokenizer(
            [t.lower() for t in texts],
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
            **padding,
        ).to(self.logit_scale.device)
        accepted = {k: v for k, v in tokens.items() if k == "input_ids" or (self.is_clip and k == "attention_mask")}
        pooled = self.model.get_text_features(**accepted).pooler_output
        return F.normalize(self.text_head(pooled), dim=-1)

    def parameter_groups(self, towers: str) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters for ``towers`` full or frozen; the others are frozen.

        With frozen towers only the residual heads and the logit parameters train.
        """
        freeze(self.model.parameters(), towers == "frozen")
        heads = [
            *self.image_head.parameters(),
            *self.text_head.parameters(),
            self.logit_scale,
            self.logit_bias,
        ]
        freeze(heads, False)
        own = {id(p) for p in heads}
        return {
            "towers": [p for p in self.model.parameters() if p.requires_grad and id(p) not in own],
            "heads": heads,
        }

    def enable_gradient_checkpointing(self) -> None:
        """Trade compute for memory in both towers."""
        self.model.gradient_checkpointing_enable()

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and image processor; any transformers user can load the folder."""
        from safetensors.torch import save_file

        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        processor = processor_config(self.preprocessing, self.is_clip)
        (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
        extra = {k: v.contiguous() for k, v in self.state_dict().items() if not k.startswith("model.")}
        save_file({k: v for k, v in extra.items() if k != "logit_scale"}, folder / HEADS)


def tiny_siglip(
    image_size: int = 64, patch_size: int = 8, width: int = 128, depth: int = 4, heads: int = 4, seed: int = 0,
    logit_scale: float = 20.0, logit_bias: float = -10.0,
) -> SiglipEncoder:  # fmt: skip
    """Return an untrained small SigLIP with a byte-level tokenizer; ``seed`` fixes its weights.

    ``logit_scale`` and ``logit_bias`` are the sigmoid loss's initial values. SigLIP's own scale of 10 is for batches of
    thousands: in small batches its loss on negatives is too weak to train in a few hundred steps.
    """
    tokenizer = byte_tokenizer()
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads}
    config = SiglipConfig(
        vision_config={**sizes, "num_hidden_layers": depth, "image_size": image_size, "patch_size": patch_size},
        text_config={**sizes, "num_hidden_layers": 2, "vocab_size": len(tokenizer), "max_position_embeddings": 32,
                     "projection_size": width, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SiglipModel(config)
        with torch.no_grad():  # transformers leaves them at zero when a model is not loaded
            model.logit_scale.fill_(math.log(logit_scale))
            model.logit_bias.fill_(logit_bias)
        return SiglipEncoder.from_parts(model, tokenizer, Preprocessing(image_size))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer, trained on fashion words, that can encode any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=["<pad>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(FASHION_WORDS.split(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=32)


FASHION_WORDS = """
a an the of on with and in photo user catalog person wearing partially heavily occluded from front side or back not
worn short sleeve long top outwear vest sling shorts trousers skirt dress tee t-shirt shirt men's women's jacket coat
hoodie sweater jeans blouse tank black white red blue green yellow pink beige grey navy brown orange purple
multicolour solid striped printed floral checked dotted colour block animal cotton polyester denim silk wool linen
leather knit regular slim loose crew neck v-neck collar button zip pocket sleeveless three-quarter cropped midi maxi
"""
