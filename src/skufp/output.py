"""What is printed: data as it is, styles by argument.

Rich reads ``[red]`` in a string as a style and ``:cat:`` as a picture, but folder names, SKU ids and texts hold any
characters. So consoles are made here alone, with both switched off; a styled part of a line is made by ``styled``.
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
    """Print a warning on standard error, as one line whatever the width."""
    PlainConsole(stderr=True).print(styled(("warning:", "yellow"), f" {message}"), soft_wrap=True)
