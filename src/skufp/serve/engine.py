"""The search engine: a photo or a few words in, SKUs with their best-matching views out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from skufp.artifacts.actions import ADAPT, IDENTITY
from skufp.artifacts.folder import read_json
from skufp.artifacts.records import CATALOG
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks, load_encoder
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.ranks import Index
from skufp.serve.filters import Facts, matching
from skufp.serve.query_policy import Decision, QueryPolicy


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


@dataclass(frozen=True)
class Look:
    """What became of a photo: the vector [D] to search with, the one action taken, the edited photo if there is one.

    ``edited`` is None for identity and adapt, and where the action found nothing to change. ``predicted_gain`` is None
    unless a policy predicted it.
    """

    embedding: np.ndarray
    action: str = IDENTITY
    predicted_gain: float | None = None
    edited: Image.Image | None = None


class SearchEngine:
    """Answers queries from the folders of the prepare, retriever, embed and index stages, whatever the index's form.

    ``policy`` decides on at most one action for every photo; None leaves photos as they are. It looks at, and edits, a
    copy of at most ``max_side`` px, the size (data.max_side) of the crops that it knows. Raises UserError if the index
    was built with another encoder or preprocessing.
    """

    def __init__(
        self,
        prepared: Path,
        retriever: Path,
        embedded: Path,
        index: Path,
        policy: QueryPolicy | None = None,
        max_side: int = 640,
    ) -> None:
        self.prepared, self.policy, self.max_side = prepared, policy, max_side
        check_encoder(index, retriever / "encoder")
        self.encoder = load_encoder(retriever / "encoder")
        self.index: Index = SkuIndex.load(index)
        self.skus = pq.read_table(index / "skus.parquet").to_pylist()
        self.views = VectorTable.load(embedded).where(domain=CATALOG)
        self.rows_of_sku: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(self.views.sku_keys()):
            self.rows_of_sku.setdefault(key, []).append(row)

    def look(self, photo: Image.Image) -> Look:
        """Encode an RGB photo, take the policy's action, and encode again what an image action changed."""
        embedding = self.embed_photo(photo)
        if self.policy is None:
            return Look(embedding)
        pixels = np.asarray(shrunk(photo, self.max_side))
        return self.act(self.policy, self.policy.decide(embedding, pixels), embedding, pixels)

    def act(self, policy: QueryPolicy, decision: Decision, embedding: np.ndarray, pixels: np.ndarray) -> Look:
        """Take an action of ``policy`` on a photo, ``pixels`` [H, W, 3], that was encoded as ``embedding`` [D]."""
        taken = (decision.action, decision.predicted_gain)
        if decision.action == ADAPT and policy.adapter is not None:
            return Look(policy.adapter(embedding), *taken)
        edited = policy.edits[decision.action](pixels)
        if edited is pixels:
            return Look(embedding, *taken)
        picture = Image.fromarray(edited)
        return Look(self.embed_photo(picture), *taken, picture)

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

    def search(self, query: np.ndarray, top_k: int, among: np.ndarray | None = None) -> list[Hit]:
        """Return the ``top_k`` SKUs nearest to ``query`` [D], best first: fewer where the index finds no more.

        ``among`` are the numbers of the SKUs that may answer, as matching returns them; None: all.
        """
        scores, ids = self.index.search(query[None], top_k, among)
        return [
            self._hit(query, rank, self.skus[i], float(s))
            for rank, (i, s) in enumerate(zip(ids[0], scores[0], strict=True), 1)
            if i >= 0
        ]

    def matching(self, facts: Facts, wanted: Mapping[str, Any]) -> np.ndarray:
        """Return the numbers of the SKUs here that fit ``wanted``, by ``facts`` of SKUs, here or not: see filters.

        Raises UserError where a filter, or all together, fit none.
        """
        number = {(str(sku["split"]), str(sku["sku_id"])): i for i, sku in enumerate(self.skus)}
        here = {key: facts.get(key, {}) for key in number}
        return np.array([number[key] for key in matching(here, wanted)], np.int64)

    def best_view(self, query: np.ndarray, split: str, sku_id: str) -> tuple[dict[str, Any], float]:
        """Return the row of the SKU's view nearest to ``query`` [D], and its cosine."""
        rows = np.array(self.rows_of_sku[(split, sku_id)])
        similarity = np.asarray(self.views.vectors[rows]) @ query
        best = int(similarity.argmax())
        return self.views.rows.slice(int(rows[best]), 1).to_pylist()[0], float(similarity[best])

    def _hit(self, query: np.ndarray, rank: int, sku: dict[str, object], score: float) -> Hit:
        split, sku_id = str(sku["split"]), str(sku["sku_id"])
        view, similarity = self.best_view(query, split, sku_id)
        return Hit(
            rank, split, sku_id, score, str(sku["category_name"]), view["view_id"], similarity, view["image_path"]
        )


def shrunk(photo: Image.Image, max_side: int) -> Image.Image:
    """Return ``photo`` as stage=prepare would keep it: at most ``max_side`` px, never grown."""
    if max(photo.size) <= max_side:
        return photo
    photo = photo.copy()
    photo.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    return photo


def check_encoder(index: Path, encoder: Path) -> None:
    """Refuse an index whose vectors came from another encoder or another preprocessing."""
    built, here = read_json(index / INDEX_MARKS), encoder_marks(encoder)
    for mark, what in (("preprocessing", "image preprocessing"), ("fingerprint", "encoder")):
        if built[mark] != here[mark]:
            raise UserError(
                f"{index} was built with another {what} ({built[mark]}, the query's is {here[mark]}): scores would be"
                " meaningless. Build it again: python -m skufp stage=index with this model"
            )
