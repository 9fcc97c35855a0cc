"""The parts of an opened bundle, each read when it is first used. Nothing is ever written."""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skufp.artifacts.folder import read_json
from skufp.artifacts.part_list import FILE, PartList
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.serve.answer import View
from skufp.serve.marks import check_encoder, check_marks
from skufp.serve.parts import KINDS, NEEDED, OF_ENCODER, MissingPartError
from skufp.serve.sku_table import SkuTable, SkuViews

if TYPE_CHECKING:
    from skufp.catalogue.attributes import Reader
    from skufp.catalogue.vocabulary import Vocabulary
    from skufp.retrieval.index import SkuIndex
    from skufp.serve.query_policy import QueryPolicy
    from skufp.serve.thumbnails import Thumbnails

LAY_OUT = "Make one: python -m skufp stage=bundle export_to=<folder>"
SKUS, VIEWS, WORDS, VECTORS = "skus.parquet", "views.parquet", "words.parquet", "vectors.npy"
READERS, VOCABULARY = "readers.json", "vocabulary.json"
AGAIN = "Make it again: python -m skufp stage=bundle"


class BundleParts:
    """What is in the folder of a bundle: ``names`` are the parts that are there, ``about`` what it says of itself.

    Whatever is asked of a part that is not there raises MissingPartError.
    """

    def __init__(self, folder: Path, names: frozenset[str], about: dict[str, Any]) -> None:
        self.folder, self.names, self.about = folder, names, about

    def path(self, part: str) -> Path:
        """Return the folder of a part; MissingPartError where it is not there."""
        if part not in self.names:
            raise MissingPartError(self.folder, part, KINDS[part].command if part in KINDS else LAY_OUT)
        return self.folder / part

    @property
    def max_side(self) -> int:
        """The size that a query policy sees photos in: the longer side in pixels."""
        return int(self.about.get("max_side", 640))

    @cached_property
    def encoder(self) -> Any:
        """The encoder of queries, ready to encode."""
        from skufp.modules.encoder_folder import load_encoder

        encoder = load_encoder(self.path("encoder"))
        if encoder.dim != self.index.dim:
            raise UserError(
                f"{self.folder}: the index holds vectors of {self.index.dim} dimensions and the encoder makes"
                f" {encoder.dim}. {AGAIN}"
            )
        return encoder

    @cached_property
    def index(self) -> "SkuIndex":
        """The index, whose ids are the numbers of SKUs."""
        from skufp.retrieval.index import FaissMissingError

        try:
            index = self._read_index()
        except FaissMissingError as error:
            raise UserError(str(error)) from error
        if len(index) != len(self.skus):
            raise UserError(
                f"{self.folder}: the index holds {len(index)} SKUs and the table {len(self.skus)}: they do not belong"
                f" together. {AGAIN}"
            )
        return index

    def _read_index(self) -> "SkuIndex":
        from skufp.retrieval.index import SkuIndex

        return SkuIndex.load(self.path("index"))

    @cached_property
    def skus(self) -> SkuTable:
        """The SKU table, with a vector for each."""
        table = VectorTable.load(self.path("skus"), VECTORS, SKUS)
        return SkuTable(table.rows, table.vectors)

    @cached_property
    def views(self) -> SkuViews:
        """All catalogue views and their vectors."""
        return SkuViews(VectorTable.load(self.path("views"), VECTORS, VIEWS), len(self.skus))

    @cached_property
    def words(self) -> VectorTable:
        """The catalogue's texts (the column text) and their vectors."""
        return VectorTable.load(self.path("words"), VECTORS, WORDS)

    @cached_property
    def thumbnails(self) -> "Thumbnails":
        """Small pictures; the table of views has their numbers in its column thumbnail."""
        from skufp.serve.thumbnails import Thumbnails

        return Thumbnails(self.path("thumbnails"))

    @cached_property
    def aggregator(self) -> Any:
        """What makes one vector [B, D] of views [B, V, D], mask [B, V] and meta [B, V, 4]: see models/aggregators."""
        from skufp.models.aggregators.folder import load_aggregator

        return load_aggregator(self.path("aggregator"))

    @cached_property
    def policy(self) -> "QueryPolicy | None":
        """The policy that decides on an action for a photo; None where the bundle has none."""
        from skufp.models.adapter import Adapter
        from skufp.modules.encoder_folder import encoder_marks
        from skufp.serve.query_policy import LearntPolicy

        if "policy" not in self.names:
            return None
        folder = self.path("policy")
        return LearntPolicy(folder, Adapter.load(folder), encoder_marks(self.path("encoder"))["fingerprint"])

    @cached_property
    def readers(self) -> "dict[str, Reader]":
        """The attribute readers by the key of their attribute."""
        from skufp.catalogue.attributes import Reader

        rows = read_json(self.path("attributes") / READERS)
        return {key: Reader.from_dict(row) for key, row in rows.items()}

    @cached_property
    def vocabulary(self) -> "Vocabulary":
        """The vocabulary that the readers read."""
        from skufp.catalogue.vocabulary import Vocabulary

        return Vocabulary.of(read_json(self.path("attributes") / VOCABULARY))

    def fields_of(self, number: int) -> dict[str, str]:
        """Return the source's own columns of a SKU."""
        return self.skus.fields(number)

    def attributes_of(self, number: int) -> dict[str, str]:
        """Return what stage=attributes found of a SKU; MissingPartError where it was not asked."""
        self.path("attributes")
        return self.skus.attributes(number)

    def thumbnail_of(self, view: View) -> bytes:
        """Return a JPEG of a view."""
        return self.thumbnails[view.thumbnail]

    def refuse_view(self) -> View:
        """Raise MissingPartError: there are no views."""
        raise MissingPartError(self.folder, "views", KINDS["views"].command)

    def nearest_view(self, query: np.ndarray, number: int) -> View | None:
        """Return the SKU's view nearest to ``query`` [D]; None where the bundle has no views."""
        if "views" not in self.names:
            return None
        row, score = self.views.nearest(query, number)
        where = (row["image_path"], bool(row.get("generated", False)), int(row.get("thumbnail", -1)))
        return View(row["view_id"], score, *where)


def open_parts(folder: Path, verify: bool = False) -> BundleParts:
    """Open the folder of a bundle; UserError for one that is damaged, too new, or mixed of two encoders' parts.

    The size of every file is checked, and with ``verify`` its content too, which reads everything once.
    """
    listed = PartList.read(folder)
    for name, part in listed.parts.items():
        if name in KINDS and part.version > KINDS[name].version:
            raise UserError(
                f"{folder}: the part '{name}' has format {part.format} {part.version}, and this skufp reads"
                f" {KINDS[name].format} {KINDS[name].version}. Update it: pip install --upgrade skufp"
            )
    for name in NEEDED:
        if name not in listed.parts:
            raise MissingPartError(folder, name, KINDS[name].command)
    listed.check(folder, verify)
    parts = BundleParts(folder, frozenset(listed.parts), listed.about)
    try:
        _check_encoders(parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: the marks of its encoder cannot be read ({error!r}). {AGAIN}") from error
    return parts


def _check_encoders(parts: BundleParts) -> None:
    """Refuse vectors, and a policy, that were made with another encoder than the one in the bundle."""
    if "encoder" not in parts.names:
        return
    from skufp.modules.encoder_folder import encoder_marks

    encoder = parts.path("encoder")
    for name in OF_ENCODER:
        if name in parts.names:
            check_encoder(parts.path(name), encoder, AGAIN)
    if "policy" in parts.names:
        from skufp.serve.query_policy import ABOUT

        built = json.loads((parts.path("policy") / ABOUT).read_text(encoding="utf-8"))["encoder"]
        marks = encoder_marks(encoder)
        check_marks({**marks, "fingerprint": built}, marks, parts.path("policy"), AGAIN)


def is_bundle(folder: Path) -> bool:
    """Return whether ``folder`` has a bundle.json."""
    return (folder / FILE).is_file()
