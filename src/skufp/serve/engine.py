"""The search engine: a photo or a few words in, SKUs with their best-matching views out.

It computes with the parts of a bundle, and opens nothing itself: see skufp.serve.bundle.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from skufp.artifacts.actions import ADAPT, IDENTITY
from skufp.artifacts.products import same
from skufp.data.thumbnail import thumbnail
from skufp.serve.answer import Result, View
from skufp.serve.bundle_parts import BundleParts
from skufp.serve.filters import Facts, matching
from skufp.serve.texts import check_text

if TYPE_CHECKING:
    from skufp.serve.query_policy import Decision, QueryPolicy


@dataclass(frozen=True)
class Look:
    """A processed photo: the vector [D] of the query, the action, and the edited photo if there is one.

    ``edited`` is None for identity and adapt, and if the action changed nothing. ``predicted_gain`` is None unless a
    policy predicted it.
    """

    embedding: np.ndarray
    action: str = IDENTITY
    predicted_gain: float | None = None
    edited: Image.Image | None = None


def pairs(scores: np.ndarray, ids: np.ndarray) -> list[tuple[int, float]]:
    """Return (number, score) of the SKUs that were found, of an index's ``scores`` and ``ids`` [K]."""
    return [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i >= 0]


class SearchEngine:
    """Answers queries from the ``parts`` of a bundle, with any form of index.

    ``policy`` chooses at most one action for every photo; None leaves photos unchanged. It sees and edits a copy of at
    most ``max_side`` px, the size (data.max_side) of the crops that it was trained on.
    """

    def __init__(self, parts: BundleParts, policy: "QueryPolicy | None" = None) -> None:
        self.parts, self.policy, self.max_side = parts, policy, parts.max_side
        self.index, self.skus = parts.index, parts.skus

    @property
    def encoder(self) -> Any:
        """The encoder of queries; MissingPartError where the bundle has none."""
        return self.parts.encoder

    def look(self, photo: Image.Image) -> Look:
        """Encode an RGB photo, take the policy's action, and encode the photo again if an image action changed it."""
        embedding = self.embed_photo(photo)
        if self.policy is None:
            return Look(embedding)
        pixels = np.asarray(thumbnail(photo, self.max_side))  # the size that stage=prepare keeps
        return self.act(self.policy, self.policy.decide(embedding, pixels), embedding, pixels)

    def act(self, policy: "QueryPolicy", decision: "Decision", embedding: np.ndarray, pixels: np.ndarray) -> Look:
        """Take an action of ``policy`` on a photo, ``pixels`` [H, W, 3], that was encoded as ``embedding`` [D]."""
        taken = (decision.action, decision.predicted_gain)
        if decision.action == ADAPT and policy.adapter is not None:
            return Look(policy.adapter(embedding), *taken)
        edited = policy.edits[decision.action](pixels)
        if edited is pixels:
            return Look(embedding, *taken)
        picture = Image.fromarray(edited)
        return Look(self.embed_photo(picture), *taken, picture)

    def embed_photo(self, photo: Image.Image) -> np.ndarray:
        """Return [D] of an RGB photo."""
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(self.encoder.preprocessing(photo))[None]
            vector: np.ndarray = self.encoder.encode_image(pixels)[0].float().numpy()
        return vector

    def embed_text(self, text: str) -> np.ndarray:
        """Return [D] of a text; UserError if it has no words.

        A bundle without an encoder has the vectors of the catalogue's own texts.
        """
        check_text(text)
        if "encoder" not in self.parts.names and self.has_vector_of(text):
            return np.array(self.parts.words.vectors[self.parts.row_of_text[same(text)]])
        import torch

        with torch.inference_mode():
            vector: np.ndarray = self.encoder.encode_text([text])[0].float().numpy()
        return vector

    def has_vector_of(self, text: str) -> bool:
        """Return whether ``text`` is one of the catalogue's own texts, whose vectors the bundle has."""
        return "words" in self.parts.names and same(text) in self.parts.row_of_text

    def search(self, query: np.ndarray, top_k: int, among: np.ndarray | None = None) -> list[Result]:
        """Return the ``top_k`` SKUs nearest to ``query`` [D], best first: fewer if the index finds no more.

        ``among`` are the numbers of the SKUs to search, from matching(); None: all.
        """
        return self.results(query, pairs(*self.ranked(query, top_k, among)))

    def ranked(self, query: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and numbers [K] of the ``k`` nearest SKUs, best first; -inf and -1 where they are fewer."""
        scores, ids = self.index.search(query[None], k, among)
        return scores[0], ids[0]

    def results(self, query: np.ndarray | None, found: Iterable[tuple[int, float]]) -> list[Result]:
        """Return (number, score) of SKUs, best first, as results; ``query`` [D] chooses their views, None the first."""
        return [self._result(query, rank, number, score) for rank, (number, score) in enumerate(found, 1)]

    def matching(self, facts: Facts, wanted: Mapping[str, Any], where: str = "query.filter") -> np.ndarray:
        """Return the numbers of the SKUs that match ``wanted``, by ``facts``, which may have other SKUs: see filters.

        Raises UserError if no SKU matches; ``where`` is the filter's name in the message.
        """
        number = self.skus.numbers
        here = {key: facts.get(key, {}) for key in number}
        return np.array([number[key] for key in matching(here, wanted, where)], np.int64)

    def best_view(self, query: np.ndarray, split: str, sku_id: str) -> View:
        """Return the SKU's view nearest to ``query`` [D]; MissingPartError where the bundle has no views."""
        view = self.parts.nearest_view(query, self.skus.numbers[split, sku_id])
        return self.parts.refuse_view() if view is None else view

    def _result(self, query: np.ndarray | None, rank: int, number: int, score: float) -> Result:
        skus, view = self.skus, self.parts.nearest_view(query, number)
        key = (skus.splits[number], skus.sku_ids[number], skus.categories[number] or "")
        return Result(rank, skus.ids[number], score, *key, number, view, self.parts)
