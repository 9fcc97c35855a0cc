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
    """What became of a photo: the vector [D] to search with, the one action taken, the edited photo if there is one.

    ``edited`` is None for identity and adapt, and where the action found nothing to change. ``predicted_gain`` is None
    unless a policy predicted it.
    """

    embedding: np.ndarray
    action: str = IDENTITY
    predicted_gain: float | None = None
    edited: Image.Image | None = None


class SearchEngine:
    """Answers queries from the ``parts`` of a bundle, whatever the index's form.

    ``policy`` decides on at most one action for every photo; None leaves photos as they are. It looks at, and edits, a
    copy of at most ``max_side`` px, the size (data.max_side) of the crops that it knows.
    """

    def __init__(self, parts: BundleParts, policy: "QueryPolicy | None" = None) -> None:
        self.parts, self.policy, self.max_side = parts, policy, parts.max_side
        self.index, self.skus = parts.index, parts.skus

    @property
    def encoder(self) -> Any:
        """The encoder of queries; MissingPartError where the bundle has none."""
        return self.parts.encoder

    def look(self, photo: Image.Image) -> Look:
        """Encode an RGB photo, take the policy's action, and encode again what an image action changed."""
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

        A bundle without an encoder answers the catalogue's own texts, whose vectors it has.
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
        """Return the ``top_k`` SKUs nearest to ``query`` [D], best first: fewer where the index finds no more.

        ``among`` are the numbers of the SKUs that may answer, as matching returns them; None: all.
        """
        scores, ids = self.index.search(query[None], top_k, among)
        return self.results(query, [(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0])

    def results(self, query: np.ndarray | None, found: Iterable[tuple[int, float]]) -> list[Result]:
        """Return (number, score) of SKUs, best first, as results; ``query`` [D] chooses their views, None the first."""
        return [self._result(query, rank, number, score) for rank, (number, score) in enumerate(found, 1)]

    def matching(self, facts: Facts, wanted: Mapping[str, Any], where: str = "query.filter") -> np.ndarray:
        """Return the numbers of the SKUs here that fit ``wanted``, by ``facts`` of SKUs, here or not: see filters.

        Raises UserError where a filter, or all together, fit none; ``where`` is what the message calls the filter.
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
