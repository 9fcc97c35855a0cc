"""The version of the package, for everything below it; pyproject.toml has the same."""

__version__ = "0.1.0"
