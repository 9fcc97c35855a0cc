"""cards.html: a card for each product, with its photo, attributes, copy and recommendations."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from skufp.reports.html import write_html
from skufp.reports.picture import inlined

if TYPE_CHECKING:
    from skufp.catalogue.described import Described

PAGE, THUMB, PHOTO = "cards.html", 128, 480  # pixels of a small and of a main picture
Tile = tuple[str, str, float]  # data URI, id, cosine


@dataclass(frozen=True)
class Card:
    """A described product, its photo as a data URI, and tiles by kind of recommendation."""

    product: "Described"
    photo: str
    beside: dict[str, list[Tile]] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def tile(path: Path, size: int = THUMB) -> str:
    """Return the picture at ``path`` as a data URI of at most ``size`` pixels."""
    from skufp.data.decode import open_image

    return inlined(open_image(path), size, quality=82)


def write_cards(folder: Path, title: str, cards: list[Card]) -> None:
    """Write cards.html, a self-contained file."""
    write_html(folder / PAGE, Path(__file__).with_suffix(".html.j2"), title=title, cards=cards)
