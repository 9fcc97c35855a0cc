"""The inputs of stage=attributes: vectors of the products' views, colours of their pixels, vectors of prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skufp.artifacts.products import Product
from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.compute.progress import ProgressBar
from skufp.schema import Config

if TYPE_CHECKING:
    from skufp.catalogue.evidence import Pictures, PromptVectors
    from skufp.catalogue.vocabulary import Vocabulary
    from skufp.models.dual_encoder import Encoder


def prompt_vectors(cfg: Config, vocabulary: "Vocabulary", retriever: Path) -> "PromptVectors":
    """Return the vectors of the vocabulary's prompts by the retriever's text tower."""
    from skufp.catalogue.evidence import PromptVectors
    from skufp.compute.device import device
    from skufp.modules.encoder_folder import load_encoder

    return PromptVectors(vocabulary, encoding_with(cfg, load_encoder(retriever / "encoder").to(device(cfg))))


def encoding_with(cfg: Config, encoder: "Encoder") -> "Callable[[list[str]], np.ndarray]":
    """Return a function from texts to their vectors [P, D]."""
    import torch

    from skufp.compute.device import autocast

    def encode(texts: list[str]) -> np.ndarray:
        with torch.inference_mode(), autocast(cfg):
            size = int(cfg.model.batch_size)
            parts = [encoder.encode_text(texts[i : i + size]).float().cpu() for i in range(0, len(texts), size)]
        return np.concatenate([part.numpy() for part in parts])

    return encode


def load_pictures(
    cfg: Config, vocabulary: "Vocabulary", inputs: dict[str, Path], products: list[Product]
) -> "Pictures":
    """Return the real catalogue views of all products, with the colours of their pixels."""
    from skufp.catalogue.evidence import Pictures

    table = VectorTable.load(inputs["embed"]).where(domain=CATALOG)
    table = table.take(np.flatnonzero(~table.column("generated").astype(bool)))
    number = {product.sku: i for i, product in enumerate(products)}
    of_view = np.array([number[key] for key in table.sku_keys()], np.int64)
    record_of = {(r.split, r.view_id): r for r in all_records(inputs["prepare"])}
    keys = zip(table.rows["split"].to_pylist(), table.rows["view_id"].to_pylist(), strict=True)
    shares = colours_of(cfg, vocabulary, inputs["prepare"], [record_of[key] for key in keys])
    return Pictures(np.asarray(table.vectors), of_view, len(products), shares)


def all_records(prepared: Path) -> list[CropRecord]:
    """Return the records of all splits."""
    return [r for path in sorted(prepared.glob("*_image_text.jsonl")) for r in read_records(path)]


def colours_of(cfg: Config, vocabulary: "Vocabulary", prepared: Path, records: list[CropRecord]) -> np.ndarray | None:
    """Return the shares of colours [R, K] in the pictures of ``records``; None if the vocabulary has no colours."""
    from skufp.catalogue.colour import colour_shares
    from skufp.catalogue.evidence import COLOUR
    from skufp.data.decode import open_prepared

    if (colour := vocabulary.attributes.get(COLOUR)) is None or not any(t.rgb for t in colour.terms.values()):
        return None
    shares = []
    with ProgressBar(cfg, "reading colours", len(records)) as advance:
        for record in records:
            mask = np.asarray(open_prepared(prepared / record.mask_path).convert("L")) if record.mask_path else None
            shares.append(colour_shares(np.asarray(open_prepared(prepared / record.image_path)), colour, mask))
            advance(1)
    return np.stack(shares)
