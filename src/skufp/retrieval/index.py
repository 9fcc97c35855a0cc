"""The FAISS index: one vector per SKU, found by inner product. The only file that imports faiss."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILE = "index.faiss"


class FaissMissingError(ImportError):
    """faiss is an extra: say which."""

    def __init__(self) -> None:
        super().__init__("faiss is not installed: pip install 'skufp[cpu]' (or 'skufp[gpu]' beside CUDA)")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise FaissMissingError from error
    return faiss


@dataclass
class SkuIndex:
    """An index whose ids are row numbers of the SKU table it was built from."""

    index: Any

    @classmethod
    def build(cls, vectors: np.ndarray, kind: str = "IDMap,Flat") -> "SkuIndex":
        """Index unit-norm ``vectors`` [N, D]; ``kind`` is a faiss factory string; ids are 0..N-1."""
        faiss = _faiss()
        index = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        data = np.ascontiguousarray(vectors, np.float32)
        if not index.is_trained:
            index.train(data)
        index.add_with_ids(data, np.arange(len(data), dtype=np.int64))
        return cls(index)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (scores [Q, k], ids [Q, k]), best first; k is cut to the size of the index."""
        return self.index.search(np.ascontiguousarray(queries, np.float32), min(k, self.index.ntotal))

    def save(self, folder: Path) -> None:
        """Write `index.faiss`."""
        _faiss().write_index(self.index, str(folder / FILE))

    @classmethod
    def load(cls, folder: Path) -> "SkuIndex":
        """Read `index.faiss`."""
        return cls(_faiss().read_index(str(folder / FILE)))

    @property
    def nbytes(self) -> int:
        """Size of the serialised index in bytes."""
        return len(_faiss().serialize_index(self.index))

    def __len__(self) -> int:
        return int(self.index.ntotal)


def set_threads(count: int) -> None:
    """Set the number of threads faiss searches with."""
    _faiss().omp_set_num_threads(count)
