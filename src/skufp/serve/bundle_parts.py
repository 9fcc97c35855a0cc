"""The parts of an opened bundle, each read when it is first used. Nothing is ever written."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from skufp.artifacts.folder import read_json
from skufp.artifacts.part_list import PartList
from skufp.artifacts.products import same
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.serve.answer import View
from skufp.serve.parts import KINDS, MissingPartError
from skufp.serve.sku_table import SkuTable, SkuViews

if TYPE_CHECKING:
    from skufp.catalogue.attributes import Reader
    from skufp.catalogue.vocabulary import Vocabulary
    from skufp.retrieval.confidence.verdict import Judge
    from skufp.retrieval.index import SkuIndex
    from skufp.retrieval.words.index import WordIndex
    from skufp.serve.query_policy import QueryPolicy
    from skufp.serve.thumbnails import Thumbnails

T = TypeVar("T")
LAY_OUT = "Make one: python -m skufp stage=bundle export_to=<folder>"
SKUS, VIEWS, WORDS, VECTORS = "skus.parquet", "views.parquet", "words.parquet", "vectors.npy"
READERS, VOCABULARY, FUSION = "readers.json", "vocabulary.json", "fusion.json"
JUDGES = "confidence.json"
AGAIN = "Make it again: python -m skufp stage=bundle"


class BundleParts:
    """The parts in the folder of a bundle: ``names`` are the present parts, ``about`` is the bundle's metadata.

    Access to a missing part raises MissingPartError.
    """

    def __init__(self, folder: Path, names: frozenset[str], about: dict[str, Any]) -> None:
        self.folder, self.names, self.about = folder, names, about

    def path(self, part: str) -> Path:
        """Return the folder of a part; MissingPartError where it is not there."""
        if part not in self.names:
            raise MissingPartError(self.folder, part, KINDS[part].command if part in KINDS else LAY_OUT)
        return self.folder / part

    def read(self, part: str, how: Callable[[Path], T]) -> T:
        """Return the result of ``how`` on the folder of a part; UserError names a damaged file.

        Readers raise many kinds of exceptions on damaged files. So on any exception the part's files are compared with
        their hashes; if all are intact, the exception is raised unchanged.
        """
        folder = self.path(part)
        try:
            return how(folder)
        except ImportError:
            raise
        except Exception as error:
            self.explain(part, error)
            raise

    def explain(self, part: str, error: Exception) -> None:
        """Raise UserError where a file of ``part``, whose reading ended in ``error``, is damaged."""
        try:
            PartList.read(self.folder).check(self.folder, verify=True, only=part)
        except UserError as damage:
            raise damage from error

    @property
    def max_side(self) -> int:
        """The longer side in pixels of photos for the query policy."""
        return int(self.about.get("max_side", 640))

    @cached_property
    def encoder(self) -> Any:
        """The encoder of queries, ready to encode."""
        from skufp.modules.encoder_folder import load_encoder

        encoder = self.read("encoder", load_encoder)
        if encoder.dim != self.index.dim:
            raise UserError(
                f"{self.folder}: the index holds vectors of {self.index.dim} dimensions and the encoder makes"
                f" {encoder.dim}. {AGAIN}"
            )
        return encoder

    @cached_property
    def index(self) -> "SkuIndex":
        """The index, whose ids are the numbers of SKUs."""
        from skufp.retrieval.faiss_kinds import FaissMissingError

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

        return self.read("index", SkuIndex.load)

    @cached_property
    def skus(self) -> SkuTable:
        """The SKU table, with a vector for each."""
        table = self.read("skus", lambda folder: VectorTable.load(folder, VECTORS, SKUS))
        return self.read("skus", lambda _: SkuTable(table.rows, table.vectors))

    @cached_property
    def views(self) -> SkuViews:
        """All catalogue views and their vectors."""
        skus = len(self.skus)
        return self.read("views", lambda folder: SkuViews(VectorTable.load(folder, VECTORS, VIEWS), skus))

    @cached_property
    def words(self) -> VectorTable:
        """The catalogue's texts (the column text) and their vectors."""
        return self.read("words", lambda folder: VectorTable.load(folder, VECTORS, WORDS))

    @cached_property
    def row_of_text(self) -> dict[str, int]:
        """The row of ``words`` by its text, as texts are compared (artifacts.products.same)."""
        return {same(text): row for row, text in enumerate(self.words.rows["text"].to_pylist())}

    @cached_property
    def word_index(self) -> "WordIndex":
        """The words of every SKU, by its number; UserError where it holds other SKUs than the table."""
        from skufp.retrieval.words.index import WordIndex

        index = self.read("word_index", WordIndex.load)
        if index.skus != len(self.skus):
            raise UserError(
                f"{self.folder}: the word index holds {index.skus} SKUs and the table {len(self.skus)}: they do not"
                f" belong together. {AGAIN}"
            )
        return index

    @cached_property
    def word_weight(self) -> float:
        """How much words count beside vectors in a hybrid search: 0 to 1."""
        return self.read("word_index", lambda folder: float(read_json(folder / FUSION)["weight"]))

    @cached_property
    def thumbnails(self) -> "Thumbnails":
        """Small pictures; the table of views has their numbers in its column thumbnail."""
        from skufp.serve.thumbnails import Thumbnails

        return self.read("thumbnails", Thumbnails)

    @cached_property
    def aggregator(self) -> Any:
        """The aggregator from views [B, V, D], mask [B, V] and meta [B, V, 4] to vectors [B, D]: models/aggregators."""
        from skufp.models.aggregators.folder import load_aggregator

        return self.read("aggregator", load_aggregator)

    @cached_property
    def policy(self) -> "QueryPolicy | None":
        """The policy that chooses an action for a photo; None if the bundle has none."""
        from skufp.serve.query_policy import LearntPolicy

        if "policy" not in self.names:
            return None
        encoder = self.path("encoder")
        return self.read("policy", lambda folder: LearntPolicy.load(folder, folder, encoder))

    @cached_property
    def judges(self) -> "dict[str, Judge]":
        """What judges an answer, by the kind of its query: photo or text; {} where the bundle has no confidence."""
        from skufp.retrieval.confidence.verdict import Judge

        def opened(folder: Path) -> "dict[str, Judge]":
            return {mode: Judge.from_dict(row) for mode, row in read_json(folder / JUDGES).items()}

        return self.read("confidence", opened) if "confidence" in self.names else {}

    @cached_property
    def readers(self) -> "dict[str, Reader]":
        """The attribute readers by the key of their attribute."""
        from skufp.catalogue.attributes import Reader

        def opened(folder: Path) -> "dict[str, Reader]":
            return {key: Reader.from_dict(row) for key, row in read_json(folder / READERS).items()}

        return self.read("attributes", opened)

    @cached_property
    def vocabulary(self) -> "Vocabulary":
        """The vocabulary that the readers read."""
        from skufp.catalogue.vocabulary import Vocabulary

        return self.read("attributes", lambda folder: Vocabulary.of(read_json(folder / VOCABULARY)))

    def fields_of(self, number: int) -> dict[str, str]:
        """Return the source's own columns of a SKU."""
        return self.skus.fields(number)

    def attributes_of(self, number: int) -> dict[str, str]:
        """Return the attributes of a SKU from stage=attributes; MissingPartError if the bundle has none."""
        self.path("attributes")
        return self.skus.attributes(number)

    def thumbnail_of(self, view: View) -> bytes:
        """Return a JPEG of a view."""
        return self.read("thumbnails", lambda _: self.thumbnails[view.thumbnail])

    def picture_of(self, view: View) -> Image.Image:
        """Return the thumbnail of a view as an RGB picture."""
        from skufp.data.decode import decode_image

        return self.read("thumbnails", lambda _: decode_image(self.thumbnails[view.thumbnail]))

    def refuse_view(self) -> View:
        """Raise MissingPartError: there are no views."""
        raise MissingPartError(self.folder, "views", KINDS["views"].command)

    def nearest_view(self, query: np.ndarray | None, number: int) -> View | None:
        """Return the SKU's view nearest to ``query`` [D], its first without a query; None where there are no views."""
        if "views" not in self.names:
            return None
        row, score = self.views.nearest(query, number)
        where = (row["image_path"], bool(row.get("generated", False)), int(row.get("thumbnail", -1)))
        return View(row["view_id"], score, *where)
