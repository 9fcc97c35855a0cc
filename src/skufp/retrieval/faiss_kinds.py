"""The only file that imports faiss: empty indices by kind, plain files, and k-means.

Shapes: N vectors, D dimensions.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skufp.errors import UserError

EF_SEARCH = 64  # HNSW: candidates kept per query; faiss's default, 16, misses more of the true neighbours
NOT_A_KIND = "could not parse"  # part of faiss's message


class FaissMissingError(ImportError):
    """faiss is missing; the message names the extra that installs it."""

    def __init__(self) -> None:
        super().__init__("faiss is not installed: pip install 'skufp[cpu]' (or 'skufp[gpu]' beside CUDA)")


def load_faiss() -> Any:
    """Import faiss; FaissMissingError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise FaissMissingError from error
    return faiss


def write_flat(path: Path, vectors: np.ndarray) -> None:
    """Write ``vectors`` [N, D] as a plain faiss IndexFlatIP whose ids are rows, for faiss.read_index in any program."""
    faiss = load_faiss()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, np.float32))
    faiss.write_index(index, str(path))


def read_flat(path: Path) -> Any:
    """Read a faiss index that write_flat wrote; UserError if the file is not an index."""
    try:
        return load_faiss().read_index(str(path))
    except RuntimeError as error:
        raise UserError(f"{path} is no faiss index: {str(error).split(': ')[-1]}") from error


def check_kind(kind: str, dims: int | None = None) -> None:
    """Raise UserError if faiss does not know ``kind`` or, with ``dims``, cannot build it for that size."""
    try:
        _empty(kind, dims or 3840)  # divisible by nearly all usual divisors
    except UserError as error:
        if dims is not None or NOT_A_KIND in str(error):
            raise


def advised_vectors(kind: str, dims: int) -> int:
    """Return the number of vectors that faiss recommends for training ``kind``; 0 if it has no centroids."""
    wishes = (training.min_points_per_centroid * centroids for training, centroids in clusterings(_empty(kind, dims)))
    return max(wishes, default=0)


def spherical_kmeans(vectors: np.ndarray, k: int, seed: int, rounds: int = 25, starts: int = 3) -> np.ndarray:
    """Return the nearest of ``k`` centres [N] for unit-norm ``vectors`` [N, D]; a centre may have no vectors.

    Spherical k-means (Dhillon & Modha, 2001): centres are unit vectors; the best of ``starts`` seeded starts is used.
    """
    faiss = load_faiss()
    data = np.ascontiguousarray(vectors, np.float32)
    kmeans = faiss.Kmeans(
        data.shape[1], k, niter=rounds, nredo=starts, seed=seed, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=len(data),
    )  # fmt: skip
    kmeans.train(data)
    nearest: np.ndarray = kmeans.index.search(data, 1)[1][:, 0]
    return nearest


def set_threads(count: int) -> None:
    """Set the number of threads faiss searches with."""
    load_faiss().omp_set_num_threads(count)


def empty_index(dim: int, kind: str, dims: int | None) -> Any:
    """Return an empty index of ``kind`` for [N, dim] that uses the first ``dims`` dimensions (None: all)."""
    if dims is not None and not 1 <= dims <= dim:
        raise UserError(f"index.dims={dims}: the vectors have {dim} dimensions. Give 1 to {dim}, or index.dims=null")
    if dims is None or dims == dim:
        return _empty(kind, dim)
    faiss = load_faiss()
    index = faiss.IndexPreTransform(faiss.NormalizationTransform(dims), _empty(kind, dims))
    index.prepend_transform(faiss.RemapDimensionsTransform(dim, dims, False))  # False: the first, not every other
    return index


def _empty(kind: str, dim: int) -> Any:
    """Return an empty faiss index for [N, dim] without ids."""
    faiss = load_faiss()

    def divide(match: re.Match[str]) -> str:
        parts = int(match[1] or 1)
        if dim % parts:
            raise UserError(
                f"index.kind={kind}: {dim} dimensions do not divide by {parts}. Set index.dims to a multiple of"
                f" {parts}, or use index=int8 or index=rabitq, which take any number"
            )
        return str(dim // parts)

    try:
        text = re.sub(r"\{dim(?:/([1-9]\d*))?\}", divide, kind).removeprefix("IDMap,")  # ids are ours to add
        index = faiss.index_factory(dim, text, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        reason = str(error).split(": ")[-1]
        where = "" if NOT_A_KIND in reason else f" with {dim} dimensions"
        raise UserError(
            f"index.kind={kind}{where}: faiss {faiss.__version__} says: {reason}. It must be an"
            " index_factory string such as Flat, SQ8 or PQ16, or choose one: index=flat"
        ) from error
    for part in layers(index):
        if hasattr(part, "hnsw"):
            part.hnsw.efSearch = EF_SEARCH
        if hasattr(part, "do_polysemous_training"):
            part.do_polysemous_training = False  # takes minutes, and polysemous search is not used here
    return index


def layers(index: Any) -> Iterator[Any]:
    """Yield ``index`` and the indices that it wraps, outermost first."""
    while index is not None:
        index = load_faiss().downcast_index(index)
        yield index
        inner = [name for name in ("index", "storage", "base_index") if hasattr(index, name)]
        index = getattr(index, inner[0]) if inner else None


def clusterings(index: Any) -> Iterator[tuple[Any, int]]:
    """Yield every k-means that training ``index`` runs: its parameters and its number of centroids."""
    for part in layers(index):
        if hasattr(part, "pq"):
            yield part.pq.cp, part.pq.ksub
        if hasattr(part, "nlist"):
            yield part.cp, part.nlist
