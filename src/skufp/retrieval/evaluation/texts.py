"""The text queries of stage=evaluate: template prompts, and captions from the labels of a query's SKU."""

from pathlib import Path

import numpy as np

from skufp.artifacts.vectors import VectorTable
from skufp.retrieval.evaluation.methods import Gallery

TEXTS = {"text": "template prompts", "rich_text": "labels"}  # the column it stands in (also the key) and its name


def text_queries(
    inputs: dict[str, Path], queries: VectorTable, target: np.ndarray, column: str = "text"
) -> tuple[VectorTable, np.ndarray]:
    """Return one text query per SKU ``target`` [Q] and text in ``column`` of its query photos, and each one's SKU.

    ``rich_text`` is made from the SKU's labels in the data, not from a photo.
    """
    table = VectorTable.load(inputs["embed"] / "text")
    row_of = {text: i for i, text in enumerate(table.rows["text"].to_pylist())}
    pairs = sorted({(int(t), text) for t, text in zip(target, queries.rows[column].to_pylist(), strict=True) if text})
    return table.take(np.array([row_of[text] for _, text in pairs], np.int64)), np.array(
        [t for t, _ in pairs], np.int64
    )


def told_apart(
    texts: VectorTable, target: np.ndarray, queries: VectorTable, query_sku: np.ndarray, gallery: Gallery, column: str
) -> dict[str, float]:
    """Return how well texts distinguish SKUs: the numbers of texts, distinct texts and queried SKUs.

    ``shared`` is the share of texts that another SKU of the gallery has word for word; ``best`` is the expected
    Recall@1 of a perfect reader, who guesses among the SKUs that share a text. Only query photos have templates, so
    templates are counted among those.
    """
    owners: dict[str, set[int]] = {}
    for table, sku in ((gallery.views, gallery.groups.of_row), (queries, query_sku)):
        for text, own in zip(table.rows[column].to_pylist(), sku.tolist(), strict=True):
            owners.setdefault(text, set()).add(own)
    asked = texts.rows["text"].to_pylist()
    fits = np.array([len(owners[text]) for text in asked], float)
    found = {"texts": len(asked), "distinct": len(set(asked)), "skus": len(np.unique(target))}
    return found | ({"shared": float((fits > 1).mean()), "best": float((1 / fits).mean())} if len(fits) else {})
