"""Text search over the parts of a bundle: by the encoder's vectors, by the words of SKUs, or by both."""

from collections.abc import Iterable

import numpy as np

from skufp.errors import UserError, nearest
from skufp.retrieval.words.fusion import DEPTH, HYBRID, MODES, VECTOR, WORDS, scores_of
from skufp.serve.answer import Result
from skufp.serve.engine import SearchEngine
from skufp.serve.texts import check_text


def check_mode(mode: object, where: str = "mode") -> None:
    """Raise UserError for a mode that there is not; None stands for the default."""
    if mode is not None and mode not in MODES:
        raise UserError(f"{where}={mode}: there is no such mode.{nearest(str(mode), MODES)}")


def search_text(
    engine: SearchEngine, text: str, top_k: int, among: np.ndarray | None = None, mode: str | None = None
) -> tuple[list[Result], str]:
    """Return the ``top_k`` SKUs that answer a text, best first, and the mode that found them.

    ``mode`` None is hybrid where the bundle has a word index, else vector. Hybrid answers by vectors alone where the
    index knows no word of the text, and by words alone where the bundle cannot turn the text into a vector that means
    something. By words, only SKUs that have one of the text's words answer. Raises MissingPartError for a mode whose
    part is missing.
    """
    check_text(text)
    check_mode(mode)
    parts = engine.parts
    if mode == VECTOR or (mode is None and "word_index" not in parts.names):
        return engine.search(engine.embed_text(text), top_k, among), VECTOR
    words = parts.word_index.search(text)
    if mode == WORDS or (words is not None and not knows(engine, text)):
        scores = np.zeros(len(parts.skus)) if words is None else words.scores
        return engine.results(None, _best(scores, top_k, among, scores > 0)), WORDS
    query = engine.embed_text(text)
    if words is None:
        return engine.search(query, top_k, among), VECTOR
    cosines = np.full(len(parts.skus), -np.inf)
    found, ids = engine.index.search(query[None], min(max(DEPTH, top_k), len(parts.skus)), among)
    cosines[ids[0][ids[0] >= 0]] = found[0][ids[0] >= 0]
    scores = scores_of(HYBRID, cosines, words, parts.word_weight)
    return engine.results(query, _best(scores, top_k, among, np.isfinite(cosines) | (words.scores > 0))), HYBRID


def knows(engine: SearchEngine, text: str) -> bool:
    """Return whether the bundle's vector of a text means something: it has an encoder, which has learnt words."""
    parts = engine.parts
    return bool(parts.about.get("knows_words", True)) and ("encoder" in parts.names or engine.has_vector_of(text))


def _best(scores: np.ndarray, top_k: int, among: np.ndarray | None, able: np.ndarray) -> Iterable[tuple[int, float]]:
    """Return (number, score) of the ``top_k`` highest scores of SKUs that may answer; ties in the order of numbers."""
    rows = np.flatnonzero(able)
    if among is not None:
        rows = np.intersect1d(rows, among)
    best = rows[np.argsort(-scores[rows], kind="stable")[:top_k]]
    return [(int(row), float(scores[row])) for row in best]
