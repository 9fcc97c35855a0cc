"""The mkdocs hooks of `make docs`: add pages of settings, API and results to docs/, and render formulas.

Formulas are $…$ and $$…$$ in the pages, as on GitHub, and become MathML, which browsers render without scripts or
fonts. A page that loads something from another host is an error.
"""

import ast
import logging
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "skufp"
SOURCE = "https://github.com/skufp/skufp/blob/main/"
INCLUDED = {  # pages of the site that are files elsewhere in the repository
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "experiments.md": "experiments/README.md",
    "measurements.md": "experiments/RESULTS.md",
}
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//"""
    r"""|<link[^>]*rel=["']?(?:stylesheet|preload|preconnect|icon)[^>]*//"""
)
log = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and the figures of the results."""
    from mkdocs.structure.files import File
    from settings_page import page

    made = {"reference/settings.md": page(), **api_pages()}
    made |= {name: included(REPOSITORY / path) for name, path in INCLUDED.items()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for figure in sorted((REPOSITORY / "experiments" / "figures").glob("*.svg")):
        files.append(File.generated(config, f"figures/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links to files of the repository at their pages, and turn formulas into MathML."""
    if page.file.src_uri == "results.md":
        markdown = re.sub(r"(<!-- headline -->).*?(<!-- /headline -->)", lambda _: headline(), markdown, flags=re.S)
    return with_formulas(with_links(markdown, page.file.src_uri))


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Make wide tables scroll."""
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Log an error for a page that loads something from another host."""
    if found := LOADED.search(output):
        log.warning("%s loads from another host: %s", page.file.src_uri, output[found.start() : found.start() + 120])
    return output


def included(path: Path) -> str:
    """Return a file of the repository with links relative to the root of the site."""
    folder = path.parent.relative_to(REPOSITORY)

    def from_root(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:|#", target) or (folder.name and target.startswith("figures/")):
            return match[0]
        return f"{match[1]}({(Path('..') / folder / target).as_posix()})"

    return re.sub(r"(\])\(([^)\s]+)\)", from_root, path.read_text(encoding="utf-8"))


def headline() -> str:
    """Return the results that experiments/report.py writes into README, for docs/results.md."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- results:.*?-->(.*?)<!-- /results -->", readme, re.S)
    return (found[1] if found else "").replace("](", "](../")


def with_links(markdown: str, uri: str) -> str:
    """Point links that leave docs/ at the page that includes the file, or at the file on GitHub."""
    here = REPOSITORY / "docs" / Path(uri).parent
    up = "../" * len(Path(uri).parent.parts)
    pages = {path: name for name, path in INCLUDED.items()}

    def pointed(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        file = (here / target).resolve()
        in_site = file.is_relative_to(REPOSITORY / "docs") and file.parent.name != "examples"
        if in_site or not file.exists():
            return match[0]
        name = file.relative_to(REPOSITORY).as_posix()
        address = up + pages[name] if name in pages else SOURCE + name
        return f"{match[1]}({address}{'#' + anchor if anchor else ''})"

    return re.sub(r"(\])\(([^)\s]+)\)", pointed, markdown)


def with_formulas(markdown: str) -> str:
    """Return the page with $$…$$ and $…$ outside of code as MathML."""
    from latex2mathml.converter import convert

    code = re.compile(r"(^```.*?^```|``[^\n]*?``|`[^`\n]*`)", re.S | re.M)
    parts = code.split(markdown)
    for i in range(0, len(parts), 2):
        block = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(m[1].strip(), display="block"), parts[i], flags=re.S)
        # a span, or a paragraph that begins with a formula would be taken for a block of HTML
        inline = r"(?<![\\$\w])\$([^\s$][^$\n]*?)\$(?![\w$])"
        parts[i] = re.sub(inline, lambda m: f"<span>{convert(m[1].strip())}</span>", block)
    return "".join(parts)


def api_pages() -> dict[str, str]:
    """Return a page for every room of the package, and an index page."""
    rooms = sorted(p.parent for p in PACKAGE.glob("*/__init__.py"))
    pages = {f"reference/api/{room.name}.md": room_page(room) for room in rooms}
    lines = [f"- [`skufp.{room.name}`](api/{room.name}.md): {sentence(room / '__init__.py')}" for room in rooms]
    head = "# API\n\nFrom the docstrings.\n\n::: skufp.recipe\n\n## Rooms\n\n"
    return pages | {"reference/api.md": head + "\n".join(lines) + "\n"}


def room_page(room: Path) -> str:
    """Return a page with every module of a room that has public names."""
    parts = [f"# skufp.{room.name}", sentence(room / "__init__.py", whole=True)]
    for path in sorted(room.rglob("*.py")):
        names = [*path.relative_to(PACKAGE.parent).with_suffix("").parts]
        if path.name != "__init__.py" and public(path):
            parts.append(f"::: {'.'.join(names)}")
    return "\n\n".join(parts) + "\n"


def public(path: Path) -> bool:
    """Return whether a module defines a class or function without a leading underscore."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(n, ast.ClassDef | ast.FunctionDef) and not n.name.startswith("_") for n in tree.body)


def sentence(path: Path, whole: bool = False) -> str:
    """Return the first line of a module's docstring, or all of it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text if whole else text.partition("\n")[0]
