"""The counterfactuals of a finished stage=views folder, for the retriever's training."""

import json
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from skufp.artifacts.folder import Manifest
from skufp.artifacts.views import COUNTERFACTUAL
from skufp.data.decode import decode_image
from skufp.data.shards import raw_samples, shard_files
from skufp.errors import UserError


def read_counterfactuals(folder: Path, split: str, skus: Collection[str]) -> dict[str, list[bytes]]:
    """Return the kept counterfactuals, PNG files, of every SKU of ``split`` that has any.

    Raises UserError unless ``folder`` is a finished folder of stage=views with counterfactuals of ``skus`` alone.
    """
    manifest = Manifest.read(folder)
    if manifest is None or manifest.stage != "views":
        raise UserError(
            f"model.training.negatives={folder}: not a finished folder of stage=views. Make one first, with"
            " python -m skufp stage=views (it prints its folder), then give it: model.training.negatives=runs/views/…"
        )
    found: dict[str, list[bytes]] = {}
    for sample in raw_samples(shard_files(folder / "shards", f"{split}-{COUNTERFACTUAL}")):
        found.setdefault(json.loads(sample["json"])["sku_id"], []).append(sample["png"])
    if not found:
        raise UserError(
            f"model.training.negatives={folder}: it holds no counterfactual of split {split}. Make some with"
            " python -m skufp stage=views views=dit, which has the condition counterfactual, or leave negatives out"
        )
    if strangers := set(found) - set(skus):
        raise UserError(
            f"model.training.negatives={folder}: {len(strangers)} of its {len(found)} SKUs are not in split {split},"
            f" e.g. {min(strangers)}: give a folder that was made from the same data"
        )
    return found


def decode_png(data: bytes) -> Image.Image:
    """Return a picture in RGB."""
    return decode_image(data, "a counterfactual of model.training.negatives")
