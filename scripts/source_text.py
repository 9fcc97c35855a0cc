"""Static analysis of one Python file: a hash of its code, and the names that each top-level name uses."""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Import = tuple[str, str]  # the module that is imported from, and the name; "" for the module itself

CHECKING = "TYPE_CHECKING"


@dataclass
class Uses:
    """The names, inner imports, strings, parts of paths, and settings (``cfg.a.b``) that a piece of code uses."""

    names: set[str] = field(default_factory=set)
    imports: set[Import] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)


class SourceText:
    """A Python file of a package: ``digest``, ``imports`` (by the name that each binds), ``parts`` (what names use)."""

    def __init__(self, text: bytes, package: tuple[str, ...]) -> None:
        self.package = package
        self.tree = ast.parse(text)
        strip(self.tree)
        self.digest = digest(written(self.tree))
        self.imports: dict[str, Import] = {}
        self.parts: dict[str, Uses] = {}
        self.loose = Uses()  # statements that define no name
        for statement in self.tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports |= dict(self._bound(statement))
                continue
            names = defined(statement)
            for name in names:
                self._read(statement, self.parts.setdefault(name, Uses()))
            if not names:
                self._read(statement, self.loose)

    def _bound(self, node: ast.Import | ast.ImportFrom) -> list[tuple[str, Import]]:
        if isinstance(node, ast.Import):
            return [(a.asname or a.name.split(".")[0], (a.name, "")) for a in node.names]
        above = self.package[: len(self.package) + 1 - node.level] if node.level else ()
        base = ".".join([*above, *([node.module] if node.module else [])])
        return [(a.asname or a.name, (base, a.name)) for a in node.names]

    def _read(self, statement: ast.stmt, uses: Uses) -> None:
        inner: set[ast.AST] = set()
        for node in nodes(statement):  # from the outside in, so that the whole chain cfg.a.b.c comes first
            if isinstance(node, ast.Name):
                uses.names.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                uses.strings.add(node.value)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                uses.imports |= {found for _, found in self._bound(node)}
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
                uses.paths.add(str(node.right.value))
            elif isinstance(node, ast.Attribute) and node not in inner:
                part: ast.expr = node
                chain: list[str] = []
                while isinstance(part, ast.Attribute):
                    inner.add(part)
                    chain.insert(0, part.attr)
                    part = part.value
                if isinstance(part, ast.Name) and part.id == "cfg":
                    uses.settings.add(".".join(chain))


@cache
def read_source(text: bytes, package: tuple[str, ...]) -> SourceText:
    """Return the analysis of a text; cached, so that a text is parsed once."""
    return SourceText(text, package)


def defined(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def strip(node: Any) -> None:
    """Remove docstrings and imports under TYPE_CHECKING from a tree."""
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
    for name in ("body", "orelse", "finalbody", "handlers"):
        if isinstance(statements := getattr(node, name, None), list):
            setattr(node, name, [s for s in statements if not (isinstance(s, ast.If) and is_name(s.test, CHECKING))])
            for statement in statements:
                strip(statement)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a tree from the outside in, like ast.walk, but faster."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None) if name != "ctx" else None
            if isinstance(value, list):
                waiting.extend(item for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST):
                waiting.append(value)


def is_name(node: ast.expr, name: str) -> bool:
    """Return whether a node is just ``name``."""
    return isinstance(node, ast.Name) and node.id == name


def written(tree: ast.AST) -> str:
    """Return a tree as text, like ast.dump, but without empty fields, which differ between Python versions."""
    out: list[str] = []

    def write(node: Any) -> None:
        if isinstance(node, ast.AST):
            out.append(type(node).__name__ + "(")
            for name in node._fields:
                value = getattr(node, name, None) if name != "ctx" else None
                if (value is not None and value != []) or isinstance(node, ast.Constant):
                    out.append(name + "=")
                    write(value)
            out.append(")")
        elif isinstance(node, list):
            out.append("[")
            for item in node:
                write(item)
                out.append(",")
            out.append("]")
        else:
            out.append(repr(node))

    write(tree)
    return "".join(out)


def digest(text: str) -> str:
    """Return 12 hex digits of a SHA-256 hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
