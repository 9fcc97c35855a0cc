"""Errors that a user can correct: what is wrong, where, and what to type next."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in settings or data, shown as one message without a traceback; exit code 2."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the valid name closest to ``name``, else the list of valid names."""
    choices = sorted(set(valid))
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else f" Valid: {', '.join(choices)}."
