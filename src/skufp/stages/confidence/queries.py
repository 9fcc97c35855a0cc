"""The queries of stage=confidence, and the galleries that they are asked of.

Products of the calibrating split were never trained on. Their gallery also holds the train split's products, as
distractors. Legend: S SKUs, Q queries, D dimensions.
"""

from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.records import QUERY
from skufp.artifacts.split_names import TRAIN
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.data.splits import HELD_OUT
from skufp.retrieval.confidence.asking import Gallery, Queries
from skufp.retrieval.confidence.evidence import NEIGHBOURS, evidence, reference_rows
from skufp.retrieval.confidence.verdict import ABSENT, PHOTO, TEXT, Judge
from skufp.schema import Config
from skufp.stages.confidence.galleries import gallery_of

COLUMNS = ("rich_text", "text")  # where a SKU's text is looked for
MOST = 4000  # queries of a mode


def to_learn_from(cfg: Config, inputs: dict[str, Path], seen: VectorTable) -> dict[str, tuple[Gallery, Queries, bool]]:
    """Return by mode the gallery, the calibrating queries, and whether these are simulated."""
    from skufp.stages.confidence.left_out import left_out_views

    spec = cfg.stages.confidence
    asked = queries_of(inputs, seen, str(spec.queries), bool(spec.held_out))
    found: dict[str, tuple[Gallery, Queries, bool]] = {}
    if asked:
        gallery = gallery_of(cfg, inputs, seen)
        found = {mode: (gallery, queries, False) for mode, queries in asked.items()}
    if PHOTO not in found and (simulated := left_out_views(cfg, inputs, seen)) is not None:
        found[PHOTO] = (*simulated, True)
    return found


def queries_of(inputs: dict[str, Path], table: VectorTable, split: str, held_out: bool = False) -> dict[str, Queries]:
    """Return by mode the queries of ``split`` for SKUs of ``table``; a mode without any is left out."""
    modes = {PHOTO: photo_queries(inputs, table, split, held_out), TEXT: text_queries(inputs, table, split)}
    return {mode: queries for mode, queries in modes.items() if len(queries.target)}


def photo_queries(inputs: dict[str, Path], table: VectorTable, split: str, held_out: bool = False) -> Queries:
    """Return the user photos of ``split`` whose SKU is in ``table``; with ``held_out`` train's held-out ones too."""
    number = SkuGroups.of(table).number
    photos = VectorTable.load(inputs["embed"]).where(domain=QUERY)
    of_split = photos.column("split") == split
    of_pool = (photos.column("split") == TRAIN) & (photos.column("pool") == HELD_OUT) & held_out
    photos = photos.take(np.flatnonzero(of_split | of_pool))
    rows = [row for row, key in enumerate(photos.sku_keys()) if key in number][:MOST]
    photos = photos.take(np.array(rows, np.int64))
    target = np.array([number[key] for key in photos.sku_keys()], np.int64)
    pool = (photos.column("split") == TRAIN).astype(np.int64)
    return Queries(np.asarray(photos.vectors), target, np.arange(len(table)), pool)


def text_queries(inputs: dict[str, Path], table: VectorTable, split: str) -> Queries:
    """Return the texts of the split's SKUs, one each; SKUs with the same text share a label."""
    number = SkuGroups.of(table).number
    rows = VectorTable.load(inputs["embed"])
    said: dict[int, str] = {}
    for column in COLUMNS:
        for key, text in zip(rows.sku_keys(), rows.rows[column].to_pylist(), strict=True):
            if text and key in number:
                said.setdefault(number[key], text)
    label_of: dict[str, int] = {}
    label = np.array([label_of.setdefault(said.get(i, f"\0{i}"), len(label_of)) for i in range(len(table))], np.int64)
    folder = inputs["embed"] / "text"
    if not folder.is_dir():
        return Queries(np.zeros((0, table.vectors.shape[1]), np.float32), np.zeros(0, np.int64), label)
    texts = VectorTable.load(folder)
    row_of = {text: i for i, text in enumerate(texts.rows["text"].to_pylist())}
    keys = table.sku_keys()
    target = np.array([i for i in sorted(said) if keys[i][0] == split and said[i] in row_of][:MOST], np.int64)
    vectors = np.asarray(texts.vectors[[row_of[said[i]] for i in target.tolist()]])
    return Queries(vectors.reshape(len(target), table.vectors.shape[1]), target, label)


def strangers(cfg: Config, inputs: dict[str, Path], gallery: Gallery, judge: Judge) -> dict[str, Any]:
    """Return the share of photos in ``strangers``, of products that are not in ``gallery``, that is accepted."""
    from skufp.stages.confidence.left_out import encode, photos_in

    vectors = encode(cfg, inputs, photos_in(Path(str(cfg.stages.confidence.strangers))))
    scores, ids = gallery.index.search(vectors, NEIGHBOURS)
    reference = vectors @ gallery.vectors[reference_rows(len(gallery.vectors))].T
    found = judge.judge(evidence(scores, ids, gallery.design, reference))
    accepted = [one.verdict != ABSENT for one in found]
    return {"photos": len(found), "accepted": float(np.mean(accepted)) if found else None}
