"""The answer of a search: results in order, each with its SKU, score, best view, fields and thumbnail."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from skufp.artifacts.actions import IDENTITY
from skufp.retrieval.confidence.verdict import Confidence
from skufp.retrieval.words.fusion import VECTOR


@dataclass(frozen=True)
class View:
    """A view of a SKU: its id, unique within the SKU's split, and its cosine to the query (``score``).

    The score is None where words alone were searched for: the view is then the SKU's first.
    ``image_path`` is its crop in the folder of stage=prepare. A ``generated`` view has its source's crop and thumbnail.
    """

    view_id: str
    score: float | None
    image_path: str
    generated: bool = False
    thumbnail: int = -1  # its number among the thumbnails


class Catalogue(Protocol):
    """The data that a result reads on access; each method raises MissingPartError if its part is not in the bundle."""

    def fields_of(self, number: int) -> dict[str, str]:
        """Return the source's own columns of a SKU."""
        ...

    def attributes_of(self, number: int) -> dict[str, str]:
        """Return the attributes of a SKU from stage=attributes."""
        ...

    def thumbnail_of(self, view: View) -> bytes:
        """Return a JPEG of a view."""
        ...

    def picture_of(self, view: View) -> Image.Image:
        """Return a view as a small picture."""
        ...

    def refuse_view(self) -> View:
        """Raise MissingPartError: there are no views."""
        ...


@dataclass(frozen=True)
class Result:
    """A found SKU: ``sku`` is its public id, ``rank`` starts at 1, ``score`` depends on the answer's mode.

    ``vector``: the cosine by the index's form. ``words``: the share, from 0 to 1, of the text's words that the SKU
    has, each weighted by how rare it is (retrieval.words.index.WordScores). ``hybrid``: a weighted mean of that share
    and of the cosine stretched to 0 … 1, comparable within one query only.

    ``split`` and ``sku_id`` are its key in the run that it came from; ``number`` is its row in the SKU table.
    """

    rank: int
    sku: str
    score: float
    split: str
    sku_id: str
    category: str
    number: int
    nearest: View | None = field(repr=False)
    catalogue: Catalogue = field(repr=False, compare=False)

    @property
    def view(self) -> View:
        """The SKU's view that is nearest to the query."""
        return self.nearest if self.nearest is not None else self.catalogue.refuse_view()

    @property
    def fields(self) -> dict[str, str]:
        """The source's own columns: title, price, colour, …; read on access."""
        return self.catalogue.fields_of(self.number)

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes from stage=attributes; {} if there are none."""
        return self.catalogue.attributes_of(self.number)

    @property
    def thumbnail(self) -> bytes:
        """The nearest view as a small JPEG; read on access."""
        return self.catalogue.thumbnail_of(self.view)

    @property
    def picture(self) -> Image.Image:
        """The thumbnail as a Pillow image."""
        return self.catalogue.picture_of(self.view)


@dataclass(frozen=True)
class Answer:
    """The ``results`` of one query, best first; an Answer is also a sequence of them.

    ``action`` is the policy's action on the photo ("identity": none), ``edited`` the edited photo if an action changed
    it, and ``predicted_gain`` the policy's prediction. ``text`` is the query's text, None for a photo, and ``mode`` how
    it was searched: vector, words or hybrid. ``allowed`` is the number of SKUs that match the filter; None without a
    filter. ``confidence`` says whether the product is in the catalogue and whether the first result is it; None if the
    bundle lacks that part.
    """

    results: tuple[Result, ...]
    text: str | None = None
    action: str = IDENTITY
    predicted_gain: float | None = None
    edited: Image.Image | None = field(default=None, repr=False)
    allowed: int | None = None
    confidence: Confidence | None = None
    mode: str = VECTOR

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, place: int) -> Result:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)
