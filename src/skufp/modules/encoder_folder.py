"""Encoders on disk: a `save_pretrained` folder and a file that names its class. Independent of Lightning."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError
from skufp.factory import build
from skufp.targets import name_of

if TYPE_CHECKING:
    from skufp.models.dual_encoder import Encoder, TrainableEncoder

ENCODER_FILE = "skufp_encoder.json"
INDEX_MARKS = "encoder.json"  # in an index's folder: the marks of the encoder that may query it


def build_encoder(spec: Mapping[str, Any]) -> "TrainableEncoder":
    """Build an encoder; UserError if its weights are missing."""
    from skufp.models.dual_encoder import WeightsMissingError

    try:
        return build(spec)
    except WeightsMissingError as error:
        raise UserError(str(error)) from error


def save_encoder(encoder: "TrainableEncoder", folder: Path) -> None:
    """Write a `save_pretrained` folder and the file that load_encoder reads."""
    from skufp.models.dual_encoder import fingerprint

    folder.mkdir(parents=True, exist_ok=True)
    encoder.save(folder)
    target = name_of(f"{type(encoder).__module__}.{type(encoder).__qualname__}")
    marks = {"_target_": target, "fingerprint": fingerprint(encoder, encoder.preprocessing),
             "preprocessing": encoder.preprocessing.fingerprint}  # fmt: skip
    write_json(folder / ENCODER_FILE, marks)


def load_encoder(folder: Path) -> "Encoder":
    """Load an encoder that save_encoder wrote, in evaluation mode and without gradients."""
    target = read_json(folder / ENCODER_FILE)["_target_"]
    encoder = build_encoder({"_target_": target, "pretrained": str(folder)})
    return encoder.eval().requires_grad_(False)


def encoder_marks(folder: Path) -> dict[str, str]:
    """Return the hashes of a saved encoder: {"fingerprint", "preprocessing"}."""
    marks = read_json(folder / ENCODER_FILE)
    return {"fingerprint": marks["fingerprint"], "preprocessing": marks["preprocessing"]}
