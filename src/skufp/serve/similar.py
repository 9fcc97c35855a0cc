"""Similar items from a folder that needs nothing else: vectors, file names, a plain faiss index and the encoder.

`python -m skufp stage=index aggregator=mean data=folder data.root=photos/ export_to=similar/` writes it. It can be
moved and copied; `faiss_index.bin` and `embeddings.npy` can be read without skufp.
"""

import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.errors import UserError

EMBEDDINGS, FILENAMES, INDEX, ENCODER = "embeddings.npy", "filenames.json", "faiss_index.bin", "encoder"
LAY_OUT = "python -m skufp stage=index aggregator=mean data=folder data.root=photos/ export_to={}"
KEPT = 4  # folders that stay loaded


@dataclass(frozen=True)
class SimilarItems:
    """A loaded folder: the encoder, a faiss index over [N, D], and the N file names of its rows."""

    encoder: Any
    index: Any
    filenames: list[str]


def search_similar(
    image: str | os.PathLike[str] | Image.Image, index: str | os.PathLike[str] = "similar/", top_k: int = 5
) -> list[dict[str, Any]]:
    """Return the ``top_k`` products most similar to a photo: [{"filename": str, "score": float}, …], best first.

    ``image`` is a path or a Pillow image; ``index`` is a folder that stage=index laid out with export_to. "filename" is
    a product's (first) photo, relative to the folder of photos that was indexed; "score" is the cosine, at most 1. A
    photo that was indexed finds itself first. The first call loads the encoder, later ones take milliseconds; a folder
    that was laid out anew is loaded anew. Raises UserError, which says what to type, for a folder or a photo that is
    not there or cannot be read.
    """
    if top_k < 1:
        raise UserError(f"top_k={top_k}: ask for at least one product")
    photo = _upright(image)
    items = open_similar(Path(index))
    scores, rows = items.index.search(_encode(items.encoder, photo)[None], min(top_k, len(items.filenames)))
    return [
        {"filename": items.filenames[row], "score": float(score)} for score, row in zip(scores[0], rows[0], strict=True)
    ]


def write_similar(folder: Path, vectors: np.ndarray, filenames: list[str], encoder: Path) -> None:
    """Write embeddings.npy [N, D] float32, filenames.json (row = id), faiss_index.bin and a copy of ``encoder``."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks
    from skufp.retrieval.index import write_flat

    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_MARKS).unlink(missing_ok=True)  # written last: without it, the folder is not whole
    vectors = np.ascontiguousarray(vectors, np.float32)
    np.save(folder / EMBEDDINGS, vectors, allow_pickle=False)
    write_json(folder / FILENAMES, filenames)
    write_flat(folder / INDEX, vectors)
    shutil.rmtree(folder / ENCODER, ignore_errors=True)
    shutil.copytree(encoder, folder / ENCODER)
    write_json(folder / INDEX_MARKS, encoder_marks(encoder))


def open_similar(folder: Path) -> SimilarItems:
    """Load a folder, or return it as it was loaded before if its files are still the same; UserError if incomplete."""
    from skufp.modules.encoder_folder import ENCODER_FILE, INDEX_MARKS

    if not folder.is_dir():
        raise UserError(
            f"index={folder}: there is no such folder (looked in {Path.cwd()}). Lay it out: {LAY_OUT.format(folder)}"
        )
    needed = [folder / name for name in (FILENAMES, INDEX, f"{ENCODER}/{ENCODER_FILE}", INDEX_MARKS)]
    if missing := [str(path.relative_to(folder)) for path in needed if not path.is_file()]:
        raise UserError(f"index={folder}: {', '.join(missing)} not there. Lay it out: {LAY_OUT.format(folder)}")
    return _load(folder.resolve(), tuple(path.stat().st_mtime_ns for path in needed))


@lru_cache(maxsize=KEPT)
def _load(folder: Path, times: tuple[int, ...]) -> SimilarItems:
    from skufp.modules.encoder_folder import load_encoder
    from skufp.retrieval.index import FaissMissingError, read_flat
    from skufp.serve.engine import check_encoder

    check_encoder(folder, folder / ENCODER)
    try:
        index = read_flat(folder / INDEX)
    except FaissMissingError as error:
        raise UserError(str(error)) from error
    encoder, filenames = load_encoder(folder / ENCODER), read_json(folder / FILENAMES)
    if (index.ntotal, index.d) != (len(filenames), encoder.dim):
        raise UserError(
            f"index={folder}: {INDEX} holds {index.ntotal} vectors of {index.d} dimensions, but there are"
            f" {len(filenames)} file names and the encoder has {encoder.dim}. Lay it out: {LAY_OUT.format(folder)}"
        )
    return SimilarItems(encoder, index, filenames)


def _upright(image: str | os.PathLike[str] | Image.Image) -> Image.Image:
    """Return a photo as prepare would see it: upright, RGB on white."""
    from skufp.data.decode import UnreadableImageError, as_photo, open_image

    try:
        return as_photo(image) if isinstance(image, Image.Image) else open_image(Path(image))
    except UnreadableImageError as error:
        raise UserError(f"{error}. Give a photo (JPEG, PNG, WebP, …)") from error


def _encode(encoder: Any, photo: Image.Image) -> np.ndarray:
    import torch

    with torch.inference_mode():
        pixels = torch.from_numpy(encoder.preprocessing(photo))[None]
        vector: np.ndarray = encoder.encode_image(pixels)[0].float().numpy()
    return vector
