"""Output prints data literally: brackets, backslashes and colons of names and texts, wherever Rich reads markup."""

import ast
import io
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.table import Table

import skufp
from skufp.__main__ import fail
from skufp.artifacts.folder import write_json
from skufp.compute.progress import ProgressBar
from skufp.errors import UserError
from skufp.output import PlainConsole, styled, warn
from skufp.pipeline import Planned, print_plan
from skufp.stages import search

SOURCE = Path(skufp.__file__).parent
NASTY = ["[red]", "[/]", r"C:\dir\[x]", "data.splits=[train,validation]", "a:cat:b", "[bold]x[/bold]", "end\\", r"\[y]",
         "[link=https://x]z[/link]", "[/red]"]  # fmt: skip


def _console() -> PlainConsole:
    return PlainConsole(file=io.StringIO(), width=300)


def _printed(console: PlainConsole) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("text", NASTY)
def test_every_way_to_print_is_literal(text: str) -> None:
    table = Table("column " + text, title="title " + text, caption="caption " + text)
    table.add_row("cell " + text)
    console = _console()
    console.print("line " + text, style="bold")
    console.print(styled(("part", "green"), " of " + text))
    console.print(table)
    console.rule("rule " + text)
    for where in ("line", "of", "column", "title", "caption", "cell", "rule"):
        assert f"{where} {text}" in _printed(console), where


def test_markup_cannot_be_switched_on_by_a_setting() -> None:
    console = PlainConsole(file=io.StringIO(), width=300, markup=True, emoji=True)
    console.print("[red]x[/] :cat:")
    assert _printed(console) == "[red]x[/] :cat:\n"


@pytest.mark.parametrize("text", NASTY)
def test_errors_and_warnings(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        fail(UserError(f"there is no folder {text}: type this"))
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: there is no folder {text}: type this\n"
    warn(f"split {text} is skipped")
    assert capsys.readouterr().err == f"warning: split {text} is skipped\n"


@pytest.mark.parametrize("text", NASTY)
def test_plans_with_folders_of_any_name(text: str) -> None:
    console = _console()
    print_plan([Planned("embed", "k", Path("runs") / text, {}, {}, {}, done) for done in (True, False)], console)
    lines = _printed(console).splitlines()
    shown = str(Path("runs") / text)
    assert [line.split() for line in lines[-2:]] == [["embed", "done", shown], ["embed", "to", "run", shown]]


@pytest.mark.parametrize("text", NASTY)
def test_progress_labels(text: str) -> None:
    bar = ProgressBar(OmegaConf.create({"progress": False}), f"cropping {text}", 3)
    console = _console()
    console.print(bar.progress.make_tasks_table(bar.progress.tasks))
    assert f"cropping {text}" in _printed(console)


def test_search_answers_with_any_id_category_text_and_file(tmp_path: Path) -> None:
    hits = [{"rank": i, "sku_id": f"id {t}", "score": 0.5, "category": f"cat {t}", "image_path": f"photo {i} [b].jpg",
             "view_score": 0.5} for i, t in enumerate(NASTY)]  # fmt: skip
    asked = {"text": "a [red] [/] tee", "mode": "vector", "hits": hits,
             "filter": {"wanted": {"colour": "[red]"}, "skus": 1, "of": 2}}  # fmt: skip
    write_json(tmp_path / "results.json", [asked])
    console = _console()
    search.show(OmegaConf.create({"policy": {"name": "none"}}), tmp_path, console)
    said = _printed(console)
    assert "query: “a [red] [/] tee”" in said
    assert "filter: colour = [red]: 1 of 2 SKUs" in said
    for i, text in enumerate(NASTY):
        for part in (f"id {text}", f"cat {text}", f"photo {i} [b].jpg"):
            assert part in said, part


MARKUP = re.compile(r"\[/[a-z ]*\]|\[(bold|dim|italic|red|green|yellow|cyan|magenta|blue)( [a-z]+)*\]")


def test_no_module_makes_a_console_of_its_own_or_writes_markup() -> None:
    faults = []
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        own = file == SOURCE / "output.py"
        bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
        docs = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
        for node in ast.walk(tree):
            where = f"{file.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.rpartition(".")[2] in ("Console", "get_console"):
                faults.append(f"{where} makes a Console: use skufp.output.PlainConsole")
            if isinstance(node, ast.Call) and called.endswith(("from_markup", "TextColumn")):
                literal = any(k.arg == "markup" and ast.unparse(k.value) == "False" for k in node.keywords)
                faults += [] if literal else [f"{where} reads markup"]
            if isinstance(node, ast.ImportFrom) and node.module in ("rich.markup", "rich"):
                named = {alias.name for alias in node.names} - {"box"}
                faults += [f"{where} imports {name} of {node.module}" for name in sorted(named)]
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if not own and id(node) not in docs and MARKUP.search(text):
                faults.append(f"{where} writes markup, which is printed as it stands: {text!r}")
    assert not faults, "\n".join(faults)
