"""What a search answers: results in order, each with its SKU, score, best view, fields and thumbnail."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from skufp.artifacts.actions import IDENTITY
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
    """What a result looks up when it is asked; each raises MissingPartError where the part is not in the bundle."""

    def fields_of(self, number: int) -> dict[str, str]:
        """Return the source's own columns of a SKU."""
        ...

    def attributes_of(self, number: int) -> dict[str, str]:
        """Return what stage=attributes found of a SKU."""
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
    """A SKU that answers: ``sku`` is its public id, ``rank`` counts from 1, ``score`` is what the answer's mode means.

    ``vector``: the cosine as the index's form gives it. ``words``: the share of the text's words that the SKU holds,
    each weighted by how telling it is, from 0 to 1 (retrieval.words.index.WordScores). ``hybrid``: a weighted mean of
    that share and of the cosine stretched to 0 … 1, which orders the results of one query and says nothing beyond it.

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
        """The source's own columns: title, price, colour, …; read when asked for."""
        return self.catalogue.fields_of(self.number)

    @property
    def attributes(self) -> dict[str, str]:
        """What stage=attributes found; {} where nothing was found."""
        return self.catalogue.attributes_of(self.number)

    @property
    def thumbnail(self) -> bytes:
        """The nearest view as a small JPEG; read when asked for."""
        return self.catalogue.thumbnail_of(self.view)

    @property
    def picture(self) -> Image.Image:
        """The thumbnail as a Pillow image."""
        return self.catalogue.picture_of(self.view)


@dataclass(frozen=True)
class Answer:
    """The ``results`` of one query, best first; an Answer is also a sequence of them.

    ``action`` is what the policy did to the photo ("identity": nothing), ``edited`` the photo that was searched with
    instead where an action changed it, and ``predicted_gain`` what the policy expected of it. ``text`` is the query's
    text, None for a photo, and ``mode`` how it was searched for: vector, words or hybrid. ``allowed`` is the number of
    SKUs that the filter let answer; None without a filter.
    """

    results: tuple[Result, ...]
    text: str | None = None
    action: str = IDENTITY
    predicted_gain: float | None = None
    edited: Image.Image | None = field(default=None, repr=False)
    allowed: int | None = None
    mode: str = VECTOR

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, place: int) -> Result:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)
