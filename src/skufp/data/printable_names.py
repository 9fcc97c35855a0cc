"""File names that can be written into a table."""


def is_utf8(name: str) -> bool:
    """Return whether a file's name can be written into a table."""
    return name == printable(name)


def printable(name: str) -> str:
    """Return a file's name with bytes that are not UTF-8 spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
