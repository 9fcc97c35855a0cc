"""Queries without user photos: catalogue views that are left out of their SKU's vector and put on a simulated phone.

Legend: S SKUs, Q queries, D dimensions.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from skufp.artifacts.records import CATALOG
from skufp.artifacts.vectors import SkuGroups, VectorTable, design_numbers
from skufp.compute.device import autocast, device, in_batches
from skufp.config import build
from skufp.data.decode import UnreadableImageError, open_image, open_prepared
from skufp.data.photo_folder import is_photo
from skufp.output import warn
from skufp.retrieval.confidence.asking import Gallery, Queries
from skufp.retrieval.representations import normalise
from skufp.schema import Config
from skufp.stages.confidence.galleries import index_of

SIDE = 320  # pixels of a simulated photo


def left_out_views(cfg: Config, inputs: dict[str, Path], seen: VectorTable) -> tuple[Gallery, Queries] | None:
    """Return a gallery and one simulated query for each of at most ``simulate`` SKUs; None where there is no photo.

    A SKU with several views is asked for by one of them, and its vector becomes the mean of the others. One with a
    single view is asked for by that view, which flatters: the simulated phone is then the only difference.
    """
    groups, rng = SkuGroups.of(seen), np.random.default_rng(cfg.stages.confidence.seed)
    views = VectorTable.load(inputs["embed"])
    views = views.take(np.flatnonzero(_real(views) & np.isin(views.column("split"), seen.column("split"))))
    rows: dict[int, list[int]] = {}
    for row, key in enumerate(views.sku_keys()):
        rows.setdefault(groups.number[key], []).append(row)
    chosen = sorted(rng.permutation(sorted(rows))[: cfg.stages.confidence.simulate].tolist())
    if not chosen:
        return None
    vectors, asked = np.array(seen.vectors), []
    for sku in chosen:
        own = rows[sku]
        asked.append(own[int(rng.integers(len(own)))])
        if len(own) > 1:
            rest = [row for row in own if row != asked[-1]]
            vectors[sku] = normalise(np.asarray(views.vectors[rest]).mean(axis=0, keepdims=True))[0]
    gallery = Gallery(index_of(cfg, vectors), vectors, design_numbers(seen.rows))
    files = [inputs["prepare"] / path for path in views.rows["image_path"].take(asked).to_pylist()]
    return gallery, Queries(encode(cfg, inputs, simulated(cfg, files, rng)), np.array(chosen), np.arange(len(seen)))


def _real(views: VectorTable) -> np.ndarray:
    found: np.ndarray = (views.column("domain") == CATALOG) & ~views.column("generated").astype(bool)
    return found


def simulated(cfg: Config, files: list[Path], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Yield each photo as a phone would take it (data/augment.py), before pieces of the others."""
    from skufp.config import plain
    from skufp.data.augment import PhonePhoto

    given = plain(cfg.model.augmentation)
    phone: PhonePhoto = build(given) if given else PhonePhoto()
    photos = [np.asarray(open_prepared(file)) for file in files]
    for place, photo in enumerate(photos):
        others = [photos[int(i)] for i in rng.integers(len(photos), size=4) if int(i) != place] or [photo]
        yield Image.fromarray(phone.simulate(photo, others, SIDE, rng))


def encode(cfg: Config, inputs: dict[str, Path], photos: Iterable[Image.Image]) -> np.ndarray:
    """Return [Q, D] of RGB photos by the run's encoder, model.batch_size at a time."""
    import torch

    from skufp.modules.encoder_folder import load_encoder

    encoder = load_encoder(inputs["retriever"] / "encoder").to(device(cfg))
    found = [np.zeros((0, encoder.dim), np.float32)]
    with torch.inference_mode(), autocast(cfg):
        for batch in in_batches(map(encoder.preprocessing, photos), cfg.model.batch_size):
            pixels = torch.from_numpy(np.stack(batch)).to(device(cfg))
            found.append(encoder.encode_image(pixels).float().cpu().numpy())
    return np.concatenate(found)


def photos_in(folder: Path) -> Iterator[Image.Image]:
    """Yield every readable photo below ``folder``, in the order of their paths; warn of the others."""
    for path in sorted(path for path in folder.rglob("*") if is_photo(path.name)):
        try:
            yield open_image(path)
        except UnreadableImageError as error:
            warn(f"left out: {error}")
