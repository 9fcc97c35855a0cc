"""How far an answer can be trusted: the bundle's judges, and the scores of the search."""

import numpy as np

from skufp.retrieval.confidence.evidence import evidence, reference_rows
from skufp.retrieval.confidence.verdict import Confidence
from skufp.serve.bundle_parts import BundleParts


def confidence_of(
    parts: BundleParts, kind: str, query: np.ndarray, scores: np.ndarray, ids: np.ndarray
) -> Confidence | None:
    """Return the confidence in the answer to ``query`` [D], a ``kind`` of query; None where no judge was learnt for it.

    ``scores`` and ``ids`` [K] are the search's, best first, K = evidence.NEIGHBOURS or fewer.
    """
    vectors = parts.skus.vectors
    if kind not in parts.judges or vectors is None:
        return None
    reference = query @ np.asarray(vectors[reference_rows(len(vectors))]).T
    features = evidence(scores[None], ids[None], parts.skus.designs, reference[None])
    return parts.judges[kind].judge(features)[0]
