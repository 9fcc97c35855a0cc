"""The one Jinja environment: every page is a self-contained file from a template that escapes all text."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@lru_cache(maxsize=1)
def environment() -> "jinja2.Environment":
    """Return the environment: text is escaped, and an undefined name in a template is an error."""
    import jinja2

    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def write_html(path: Path, template: Path, **values: Any) -> None:
    """Render the file ``template`` into ``path``; lone surrogates, from file names that are not UTF-8, are escaped."""
    page = environment().from_string(template.read_text(encoding="utf-8"))
    path.write_text(page.render(**values), encoding="utf-8", errors="backslashreplace")
