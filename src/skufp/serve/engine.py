"""The search engine: a photo or a few words in, SKUs with their best-matching views out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from skufp.artifacts.folder import read_json
from skufp.artifacts.records import CATALOG
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks, load_encoder
from skufp.retrieval.index import SkuIndex

Action = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Hit:
    """One answer: a SKU, its score (the cosine, as the index's form gives it), and the view of it that matches best."""

    rank: int
    split: str
    sku_id: str
    score: float
    category: str
    view_id: str
    view_score: float
    image_path: str


class SearchEngine:
    """Answers queries from the folders of the prepare, retriever, embed and index stages, whatever the index's form.

    Raises UserError if the index was built with another encoder or preprocessing.
    """

    def __init__(self, prepared: Path, retriever: Path, embedded: Path, index: Path) -> None:
        self.prepared = prepared
        check_encoder(index, retriever / "encoder")
        self.encoder = load_encoder(retriever / "encoder")
        self.index = SkuIndex.load(index)
        self.skus = pq.read_table(index / "skus.parquet").to_pylist()
        self.views = VectorTable.load(embedded).where(domain=CATALOG)
        self.rows_of_sku: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(self.views.sku_keys()):
            self.rows_of_sku.setdefault(key, []).append(row)

    @torch.inference_mode()
    def embed_photo(self, photo: Image.Image) -> np.ndarray:
        """Return [D] of an RGB photo."""
        pixels = torch.from_numpy(self.encoder.preprocessing(photo))[None]
        return self.encoder.encode_image(pixels)[0].float().numpy()

    @torch.inference_mode()
    def embed_text(self, text: str) -> np.ndarray:
        """Return [D] of a text; UserError if it is empty."""
        if not text.strip():
            raise UserError('the text to search for is empty: --text "navy tee"')
        return self.encoder.encode_text([text])[0].float().numpy()

    def search(self, query: np.ndarray, top_k: int) -> list[Hit]:
        """Return the ``top_k`` SKUs nearest to ``query`` [D], best first: fewer where the index finds no more."""
        scores, ids = self.index.search(query[None], top_k)
        return [
            self._hit(query, rank, self.skus[i], float(s))
            for rank, (i, s) in enumerate(zip(ids[0], scores[0], strict=True), 1)
            if i >= 0
        ]

    def _hit(self, query: np.ndarray, rank: int, sku: dict[str, object], score: float) -> Hit:
        split, sku_id = str(sku["split"]), str(sku["sku_id"])
        rows = np.array(self.rows_of_sku[(split, sku_id)])
        similarity = np.asarray(self.views.vectors[rows]) @ query
        best = int(similarity.argmax())
        view = self.views.rows.slice(int(rows[best]), 1).to_pylist()[0]
        return Hit(
            rank,
            split,
            sku_id,
            score,
            str(sku["category_name"]),
            view["view_id"],
            float(similarity[best]),
            view["image_path"],
        )


def check_encoder(index: Path, encoder: Path) -> None:
    """Refuse an index whose vectors came from another encoder or another preprocessing."""
    built, here = read_json(index / INDEX_MARKS), encoder_marks(encoder)
    for mark, what in (("preprocessing", "image preprocessing"), ("fingerprint", "encoder")):
        if built[mark] != here[mark]:
            raise UserError(
                f"{index} was built with another {what} ({built[mark]}, the query's is {here[mark]}): scores would be"
                " meaningless. Build it again: python -m skufp stage=index with this model"
            )
