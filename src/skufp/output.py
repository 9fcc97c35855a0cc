"""Consoles that print data literally; styles are arguments.

Rich reads ``[red]`` in a string as a style and ``:cat:`` as a picture, but folder names, SKU ids and texts hold any
characters. So all consoles are made here, with both switched off; ``styled`` makes styled parts of a line.
"""

from typing import Any

from rich.console import Console
from rich.text import Text


class PlainConsole(Console):
    """A rich Console that prints every string literally, in tables and titles too. ``stderr`` and so on are Rich's."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**({"highlight": False} | settings | {"markup": False, "emoji": False}))


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return a line of strings and (string, style) pairs, all of them literal."""
    return Text.assemble(*parts)


def warn(message: str) -> None:
    """Print a warning on standard error, as one line at any width."""
    PlainConsole(stderr=True).print(styled(("warning:", "yellow"), f" {message}"), soft_wrap=True)
