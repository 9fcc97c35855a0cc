"""Assembling a bundle from the folders of finished stages, part by part; bundle.json is written last."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.part_list import PartList, list_part
from skufp.artifacts.products import read_products
from skufp.artifacts.records import CATALOG
from skufp.artifacts.sku_ids import public_ids
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.retrieval.words.fusion import DEFAULT_WEIGHT
from skufp.serve.bundle_parts import FUSION, JUDGES, READERS, SKUS, VECTORS, VIEWS, VOCABULARY, WORDS
from skufp.serve.marks import check_encoder
from skufp.serve.parts import KINDS, OF_ENCODER
from skufp.serve.sku_table import ATTRIBUTES, FIELDS
from skufp.version import __version__

if TYPE_CHECKING:
    from skufp.catalogue.facts import Facts
    from skufp.retrieval.words.index import WordIndex
    from skufp.retrieval.words.query import Synonyms

Advance = Callable[[int], None]
Progress = Callable[[int], Any]  # a number of pictures -> a context that yields an Advance
OF_VIEW = ("split", "sku_id", "view_id", "image_path", "occlusion", "viewpoint", "zoom_in", "generated", "text",
           "rich_text")  # fmt: skip
INDEX = "index.faiss"


@dataclass(frozen=True)
class Sources:
    """The inputs of a bundle.

    ``stages`` are folders by the name of their stage: retriever, embed, fingerprint and index; prepare for fields and
    thumbnails; policy and actions, confidence, and attributes, if the bundle has these parts. ``gallery`` are the
    splits in the index, ``photos`` the first photo of every SKU, ``facts`` their attributes from stage=attributes, and
    ``vocabulary`` its lists. ``max_side`` is the size of the crops, ``knows_words`` whether the encoder was trained on
    texts; ``synonyms`` are alternatives to the SKUs' words, ``word_weight`` the weight of words in a hybrid search.
    """

    stages: Mapping[str, Path]
    gallery: Sequence[str]
    max_side: int = 640
    photos: Mapping[tuple[str, str], str] = field(default_factory=dict)
    facts: "Mapping[tuple[str, str], Facts]" = field(default_factory=dict)
    vocabulary: Mapping[str, Any] = field(default_factory=dict)
    knows_words: bool = True
    synonyms: "Synonyms" = field(default_factory=dict)
    word_weight: float = DEFAULT_WEIGHT

    @property
    def encoder(self) -> Path:
        """The folder of the saved encoder."""
        return self.stages["retriever"] / "encoder"


def assemble(sources: Sources, out: Path, leave_out: Sequence[str] = (), progress: Progress | None = None) -> PartList:
    """Write the bundle of ``sources`` into the empty folder ``out``, without the parts in ``leave_out``.

    Parts without sources (words, word_index, policy, confidence, attributes) are left out too. Equal sources give
    equal bytes. Raises UserError where the index was built with another encoder.
    """
    check_encoder(
        sources.stages["index"], sources.encoder, "Build it again: python -m skufp stage=index with this model"
    )
    skus = read_skus(sources)
    views = read_views(sources, skus)
    writers: dict[str, Callable[[Path], object]] = {
        "encoder": lambda folder: shutil.copytree(sources.encoder, folder),
        "index": lambda folder: _copy(sources.stages["index"] / INDEX, folder / INDEX),
        "skus": lambda folder: skus.save(folder, VECTORS, SKUS),
        "views": lambda folder: views.save(folder, VECTORS, VIEWS),
        "thumbnails": lambda folder: write_pictures(sources, views, folder, progress),
        "aggregator": lambda folder: write_aggregator(sources, folder),
    }
    if (texts := read_words(sources)) is not None:
        writers["words"] = lambda folder: texts.save(folder, VECTORS, WORDS)
    if not (word_index := read_word_index(sources, skus)).empty:
        writers["word_index"] = lambda folder: write_word_index(sources, word_index, folder)
    if "policy" in sources.stages:
        writers["policy"] = lambda folder: write_policy(sources, folder)
    if "confidence" in sources.stages and read_json(sources.stages["confidence"] / JUDGES):
        writers["confidence"] = lambda folder: _copy(sources.stages["confidence"] / JUDGES, folder / JUDGES)
    if "attributes" in sources.stages:
        writers["attributes"] = lambda folder: write_attributes(sources, folder)
    parts = {}
    for name, write in writers.items():
        if name in leave_out:
            continue
        write(out / name)
        if name in OF_ENCODER:
            write_marks(sources, out / name)
        parts[name] = list_part(out, name, KINDS[name].format, KINDS[name].version)
    about = {"skufp": __version__, "skus": len(skus), "views": len(views), "max_side": sources.max_side}
    about["knows_words"] = sources.knows_words
    listed = PartList(parts, about)
    listed.write(out)
    return listed


def read_skus(sources: Sources) -> VectorTable:
    """Return the SKU table in the order of the index's numbers, with the fingerprints as vectors."""
    table = VectorTable.load(sources.stages["fingerprint"], "fingerprints.npy", "skus.parquet")
    table = table.where(split=list(sources.gallery))
    keys = table.sku_keys()
    indexed = pq.read_table(sources.stages["index"] / "skus.parquet", columns=["split", "sku_id"])
    if keys != list(zip(indexed["split"].to_pylist(), indexed["sku_id"].to_pylist(), strict=True)):
        raise RuntimeError("the index and the fingerprints do not have the same SKUs in the same order")
    prepared = sources.stages.get("prepare")
    fields = {product.sku: product.fields for product in read_products(prepared)} if prepared else {}
    first = {
        "id": pa.array(public_ids(keys), pa.string()),
        "photo": pa.array([sources.photos.get(key) for key in keys], pa.string()),
        "fields": pa.array([list(fields.get(key, {}).items()) for key in keys], FIELDS),
        "attributes": pa.array([_attributes(sources.facts.get(key)) for key in keys], ATTRIBUTES),
    }
    rows = table.rows
    for place, (name, column) in enumerate(first.items()):
        rows = rows.add_column(place, name, column)
    return VectorTable(table.vectors, rows)


def _attributes(facts: "Facts | None") -> list[dict[str, Any]]:
    """Return the accepted attributes, the category among them."""
    if facts is None:
        return []
    said = dict(facts.attributes)
    if facts.category_value:
        said["category"] = facts.category_value
    return [{"name": n, "value": v.value, "confidence": v.confidence, "source": v.source} for n, v in said.items()]


def read_views(sources: Sources, skus: VectorTable) -> VectorTable:
    """Return the catalogue views, grouped by SKU, each with its SKU's number and thumbnail."""
    views = VectorTable.load(sources.stages["embed"]).where(split=list(sources.gallery), domain=CATALOG)
    number = SkuGroups.of(skus).number
    of_view = np.array([number[key] for key in views.sku_keys()], np.int64)
    order = np.argsort(of_view, kind="stable")
    views = views.take(order)
    pictures = {path: i for i, path in enumerate(dict.fromkeys(views.rows["image_path"].to_pylist()))}
    rows = views.rows.select([name for name in OF_VIEW if name in views.rows.column_names])
    rows = rows.add_column(0, "sku", pa.array(of_view[order], pa.int64()))
    places = [pictures[path] for path in rows["image_path"].to_pylist()]
    return VectorTable(views.vectors, rows.append_column("thumbnail", pa.array(places, pa.int64())))


def read_words(sources: Sources) -> VectorTable | None:
    """Return the catalogue's texts with their vectors; None if the photos have none."""
    folder = sources.stages["embed"] / "text"
    if not folder.is_dir():
        return None
    words = VectorTable.load(folder)
    if not len(words):
        return None
    return VectorTable(words.vectors, words.rows.select(["text"]))


def read_word_index(sources: Sources, skus: VectorTable) -> "WordIndex":
    """Return the index of what the SKU table says of each SKU in words."""
    from skufp.retrieval.words.index import WordIndex
    from skufp.serve.word_texts import texts_of

    rows = skus.rows.select(["category_name", "fields", "attributes"]).to_pylist()
    texts = (texts_of(row["category_name"] or "", dict(row["fields"]), row["attributes"]) for row in rows)
    return WordIndex.build(texts, sources.synonyms)


def write_word_index(sources: Sources, index: "WordIndex", folder: Path) -> None:
    """Write the word index, and how much words count beside vectors."""
    index.save(folder)
    write_json(folder / FUSION, {"weight": sources.word_weight})


def write_pictures(sources: Sources, views: VectorTable, folder: Path, progress: Progress | None) -> None:
    """Write one thumbnail for each crop; a generated view has its source's."""
    from skufp.serve.thumbnails import write_thumbnails

    crops = [sources.stages["prepare"] / path for path in dict.fromkeys(views.rows["image_path"].to_pylist())]
    if progress is None:
        return write_thumbnails(folder, crops)
    with progress(len(crops)) as advance:
        return write_thumbnails(folder, crops, advance)


def write_aggregator(sources: Sources, folder: Path) -> None:
    """Write the settings and weights of stage=fingerprint's aggregator, without Lightning's checkpoint."""
    from skufp.models.aggregators.folder import read_trained, save_aggregator

    save_aggregator(*read_trained(sources.stages["fingerprint"] / "best.ckpt"), folder)


def write_policy(sources: Sources, folder: Path) -> None:
    """Write the policy, its adapter and the files that its actions read."""
    from skufp.serve.query_policy import copy_policy

    copy_policy(sources.stages["policy"], sources.stages["actions"], folder)


def write_attributes(sources: Sources, folder: Path) -> None:
    """Write the attribute readers and the lists of their vocabulary; the attributes are in the SKU table."""
    folder.mkdir()
    write_json(folder / READERS, read_json(sources.stages["attributes"] / READERS))
    write_json(folder / VOCABULARY, dict(sources.vocabulary))


def write_marks(sources: Sources, folder: Path) -> None:
    """Write the hashes of their encoder beside vectors."""
    from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks

    write_json(folder / INDEX_MARKS, encoder_marks(sources.encoder))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)
