"""Query texts."""

import unicodedata
from typing import Any

from skufp.errors import UserError


def check_text(text: Any, hint: str = 'give a few words, as in "navy tee"') -> None:
    """Raise UserError unless ``text`` is a string with a word in it: a letter, a digit or a symbol such as an emoji."""
    if not isinstance(text, str):
        raise UserError(f"text: {type(text).__name__} is no text. Give a string, or a list of strings")
    if not text.strip():
        raise UserError(f"the text to search for is empty: {hint}")
    if all(unicodedata.category(sign)[0] in "PZC" for sign in text):
        raise UserError(f"the text to search for has no words ({text.strip()!r}): {hint}")
