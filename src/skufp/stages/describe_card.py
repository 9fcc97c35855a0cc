"""cards.html: a card for each product, with its photo, attributes, copy and what to show beside it."""

import base64
import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

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

    image = open_image(path)
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def write_cards(folder: Path, title: str, cards: list[Card]) -> None:
    """Write cards.html, which needs no other file."""
    import jinja2

    template = (Path(__file__).parent / "describe_card.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    (folder / PAGE).write_text(page.render(title=title, cards=cards), encoding="utf-8", errors="backslashreplace")
