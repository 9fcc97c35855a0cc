"""Similar items from a folder that needs nothing else: vectors, file names, a plain faiss index and the encoder.

`python -m skufp stage=index aggregator=mean data=folder data.root=photos/ export_to=similar/` writes it. It can be
moved and copied; `faiss_index.bin` and `embeddings.npy` can be read without skufp. It opens as a bundle does.
"""

import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skufp.artifacts.folder import write_json
from skufp.artifacts.part_list import FILE
from skufp.errors import UserError
from skufp.serve.photos import Photo, open_photo
from skufp.serve.similar_parts import EMBEDDINGS, ENCODER, FILENAMES, INDEX, LAY_OUT, needed_files

if TYPE_CHECKING:
    from skufp.serve.bundle import Bundle

KEPT = 4  # folders that stay loaded


def search_similar(image: Photo, index: str | os.PathLike[str] = "similar/", top_k: int = 5) -> list[dict[str, Any]]:
    """Return the ``top_k`` products most similar to a photo: [{"filename": str, "score": float}, …], best first.

    ``image`` is a path, bytes, a Pillow image or an RGB array; ``index`` is a folder that stage=index laid out with
    export_to, or a bundle. "filename" is a product's (first) photo, relative to the folder of photos that was indexed;
    "score" is the cosine, at most 1. A photo that was indexed finds itself first. The first call loads the encoder,
    later ones take milliseconds; a folder that was laid out anew is loaded anew. Raises UserError, which says what to
    type, for a folder or a photo that is not there or cannot be read.
    """
    photo, items = open_photo(image), open_similar(Path(index))
    (answer,) = items.answer([photo], [], top_k)
    return [{"filename": items.parts.skus.photo(found.number), "score": found.score} for found in answer]


def write_similar(folder: Path, vectors: np.ndarray, filenames: list[str], encoder: Path) -> None:
    """Write embeddings.npy [N, D] float32, filenames.json (row = id), faiss_index.bin and a copy of ``encoder``."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks
    from skufp.retrieval.faiss_kinds import write_flat

    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_MARKS).unlink(missing_ok=True)  # written last: without it, the folder is not whole
    vectors = np.ascontiguousarray(vectors, np.float32)
    np.save(folder / EMBEDDINGS, vectors, allow_pickle=False)
    write_json(folder / FILENAMES, filenames)
    write_flat(folder / INDEX, vectors)
    shutil.rmtree(folder / ENCODER, ignore_errors=True)
    shutil.copytree(encoder, folder / ENCODER)
    write_json(folder / INDEX_MARKS, encoder_marks(encoder))


def open_similar(folder: Path) -> "Bundle":
    """Open a folder, or return it as it was opened before if its files are still the same; UserError if incomplete."""
    if not folder.is_dir():
        raise UserError(
            f"index={folder}: there is no such folder (looked in {Path.cwd()}). Lay it out: {LAY_OUT.format(folder)}"
        )
    files = [file for file in (folder / FILE, *needed_files(folder)) if file.is_file()]
    return _open(folder.resolve(), tuple((str(file), file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=KEPT)
def _open(folder: Path, times: tuple[tuple[str, int], ...]) -> "Bundle":
    from skufp.serve.bundle import open_bundle

    return open_bundle(folder)
