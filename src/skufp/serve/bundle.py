"""skufp.open(folder): opens a bundle for search.

A bundle is one folder with everything that a search, or a change, needs. It may be copied, moved and mounted
read-only, and it opens without Hydra, Lightning or the folders of the runs. `python -m skufp stage=bundle
export_to=bundle/` makes one. Folders that stage=index laid out for search_similar open in the same way.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skufp.errors import UserError
from skufp.retrieval.confidence.evidence import NEIGHBOURS
from skufp.retrieval.confidence.verdict import PHOTO
from skufp.retrieval.words.fusion import VECTOR
from skufp.serve.answer import Answer
from skufp.serve.bundle_parts import LAY_OUT, BundleParts
from skufp.serve.engine import SearchEngine, pairs
from skufp.serve.opening import is_bundle, open_parts
from skufp.serve.parts import KINDS
from skufp.serve.photos import Photo, as_list, open_photo
from skufp.serve.similar_parts import is_similar, open_similar_parts
from skufp.serve.text_search import check_mode, search_text
from skufp.serve.texts import check_text
from skufp.serve.trust import confidence_of

NO_WORDS = (
    "{}: the photos of this bundle came without titles, so its encoder has learnt no words and the answer to a text is"
    " chance"
)


class Bundle:
    """An opened bundle: ``search`` searches it, ``capabilities`` and ``missing`` list its parts and missing parts.

    ``parts`` gives vectors, tables, aggregator and attribute readers, for later changes.
    """

    def __init__(self, parts: BundleParts) -> None:
        self.parts = parts

    @property
    def folder(self) -> Path:
        """The bundle's folder."""
        return self.parts.folder

    @property
    def capabilities(self) -> dict[str, str]:
        """The parts of the bundle, with their purposes."""
        return {name: kind.purpose for name, kind in KINDS.items() if name in self.parts.names}

    @property
    def missing(self) -> dict[str, str]:
        """The missing parts, with the commands that make them."""
        return {name: kind.command for name, kind in KINDS.items() if name not in self.parts.names}

    @cached_property
    def engine(self) -> SearchEngine:
        """The engine over the parts, with the bundle's own policy."""
        return SearchEngine(self.parts, self.parts.policy)

    def search(
        self,
        image: Photo | Sequence[Photo] | None = None,
        text: str | Sequence[str] | None = None,
        top_k: int = 5,
        filter: Mapping[str, Any] | None = None,
        mode: str | None = None,
    ) -> Answer | list[Answer]:
        """Return the ``top_k`` SKUs nearest to a photo or a text: an Answer, or a list of them for several queries.

        ``image`` is a path, the bytes of a file, a Pillow image or an RGB array [H, W, 3] uint8; ``text`` is a string.
        Either may be a list. With both, each is a separate query: photos are answered first, then texts. ``filter``
        maps names of fields or attributes to a value, or to a list of alternatives: {"colour": ["red", "blue"]}. The
        policy, if the bundle has one, may take one action on a photo; it is in the answer. ``mode`` is how texts are
        searched: vector, words or hybrid; None is hybrid if the bundle has a word index, else vector.

        Warns if vectors of an encoder that was not trained on texts answer a text, which is chance. Raises UserError
        for an invalid query, for a photo or a file of the bundle that cannot be read, and for a filter that no SKU
        matches. Raises MissingPartError, a UserError too, if a required part is missing.
        """
        (photos, many_photos), (texts, many_texts) = as_list(image), as_list(text)
        if image is None and text is None:
            raise UserError('nothing to search for: search(image="photo.jpg") or search(text="navy tee")')
        for one in texts:
            check_text(one)
        check_mode(mode)
        among = None if filter is None else self.matching(filter)
        answers = self.answer([open_photo(photo) for photo in photos], texts, top_k, among, mode)
        if any(self.is_chance(answer) for answer in answers):
            warnings.warn(NO_WORDS.format(self.folder), stacklevel=2)
        return answers if many_photos or many_texts or len(answers) > 1 else answers[0]

    def is_chance(self, answer: Answer) -> bool:
        """Return whether a text was answered by vectors of an encoder that has learnt no words."""
        by_vectors = answer.text is not None and answer.mode == VECTOR
        return by_vectors and not self.parts.about.get("knows_words", True)

    def matching(self, wanted: Mapping[str, Any], where: str = "filter") -> np.ndarray | None:
        """Return the numbers of the SKUs that match the filter ``wanted``; None for an empty filter."""
        return self.engine.matching(self.parts.skus.facts, wanted, where) if wanted else None

    def answer(
        self,
        photos: Sequence[Image.Image],
        texts: Sequence[str],
        top_k: int,
        among: np.ndarray | None = None,
        mode: str | None = None,
    ) -> list[Answer]:
        """Answer every RGB photo, then every text, one after the other and independently.

        ``among`` are the numbers of the SKUs to search; None: all. ``mode`` is that of texts, as in search.
        """
        if isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1:
            raise UserError(f"top_k={top_k!r}: ask for at least one SKU, as in top_k=5")
        engine, allowed = self.engine, None if among is None else len(among)
        answers = []
        for photo in photos:
            look, top_k = engine.look(photo), int(top_k)
            scores, ids = engine.ranked(look.embedding, max(top_k, NEIGHBOURS), among)
            results = tuple(engine.results(look.embedding, pairs(scores[:top_k], ids[:top_k])))
            trust = confidence_of(self.parts, PHOTO, look.embedding, scores[:NEIGHBOURS], ids[:NEIGHBOURS])
            answers.append(
                Answer(results, None, look.action, look.predicted_gain, look.edited, allowed, confidence=trust)
            )
        for text in texts:
            found, used = search_text(engine, text, int(top_k), among, mode)
            answers.append(Answer(tuple(found), text, allowed=allowed, mode=used))
        return answers

    def __len__(self) -> int:
        return len(self.parts.skus)

    def __repr__(self) -> str:
        return f"<Bundle {str(self.folder)!r}: {len(self)} SKUs, {', '.join(self.capabilities)}>"


def open_bundle(folder: str | os.PathLike[str], verify: bool = False) -> Bundle:
    """Open the bundle in ``folder``, or a folder that stage=index laid out; nothing is written there.

    The size of every file is checked; with ``verify`` its sha256 too, which reads everything once. Raises UserError
    for a folder that is not there, is damaged, comes from a newer skufp or mixes the parts of two encoders.
    """
    path = Path(folder)
    if path.is_file():
        raise UserError(f"{path} is a file: give the folder of a bundle, the one that holds bundle.json")
    if not path.is_dir():
        make = LAY_OUT.replace("<folder>", str(path))
        raise UserError(f"{path}: there is no such folder (looked in {Path.cwd()}). {make}")
    if is_bundle(path):
        return Bundle(open_parts(path, verify))
    if is_similar(path):
        return Bundle(open_similar_parts(path))
    raise UserError(f"{path}: there is no bundle.json in this folder. {LAY_OUT}")
