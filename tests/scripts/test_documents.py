"""README, docs/ and the files beside them agree with the code: commands compose, no stage or setting is missing."""

import ast
import dataclasses
import re
import shlex
import tomllib
import typing
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from skufp import __version__
from skufp.__main__ import Experiments
from skufp.arguments import understood
from skufp.composition import check_composition
from skufp.schema import Config, register_schema
from skufp.schema.fingerprint import LossWeights
from skufp.shipped import config_folder

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "experiments" / "README.md"]
STAGES = sorted(path.stem for path in (config_folder() / "stages").glob("*.yaml"))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Every `python -m skufp …` of a page, from its code blocks and from README's table of jobs."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M))
    found = re.findall(r"^(?:torchrun .*?-m|python -m) skufp(.*)$", blocks, re.M)
    if "| command: `python -m skufp …` |" in text:
        rows = text.partition("| command: `python -m skufp …` |")[2].partition("\n\n")[0]
        found += re.findall(r"^\| [^|]+ \| `(.+?)` \|", rows, re.M)
    return [re.sub(r"\s#.*$", "", command).strip() for command in found]


FIRST = set(commands(read(README)))
COMMANDS = sorted({command for page in PAGES for command in commands(read(page))})


def test_pages_have_commands() -> None:
    assert len(COMMANDS) > 30
    assert len(commands(read(README))) >= 10


@pytest.mark.parametrize("command", [pytest.param(c, marks=[] if c in FIRST else pytest.mark.slow) for c in COMMANDS])
def test_every_command_of_the_pages_composes(command: str) -> None:
    register_schema()
    Plugins.instance().register(Experiments)
    check_composition(understood(shlex.split(command.replace("…", "x"))))


def test_readme_is_short_and_keeps_the_place_of_the_results() -> None:
    text = read(README)
    assert len(text.splitlines()) <= 130
    assert len(re.findall(r"<!-- results:.*?-->.*?<!-- /results -->", text, re.S)) == 1


def drawing(text: str) -> str:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.S | re.M)
    return max(blocks, key=lambda block: block.count("─►"))


@pytest.mark.parametrize("page", [README, REPOSITORY / "docs" / "concepts" / "stages.md"], ids=lambda p: p.name)
def test_the_drawing_has_every_stage_and_nothing_else(page: Path) -> None:
    names = re.sub(r"\(with [^)]*\)", "", drawing(read(page)))
    assert sorted(set(re.findall(r"[a-z_]+", names))) == STAGES


def test_the_table_of_stages_has_every_stage_with_what_it_needs() -> None:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain = compose("config")
        richest = compose("config", ["views=dit", "policy=default", "++query.filter.colour=red", "query.image=[x.jpg]"])
    rows = re.findall(
        r"^\| `([a-z_]+)` \| .* \| (.*?)\s*\|$", read(REPOSITORY / "docs" / "concepts" / "stages.md"), re.M
    )
    assert sorted(name for name, _ in rows) == STAGES
    for name, cell in rows:
        told = set(re.findall(r"`([a-z_]+)`", cell))
        needed = {n for cfg in (plain, richest) for n in cfg.stages[name].needs}
        if name == "views":
            needed = set(richest.stages.views.needs)
        assert told == needed, name


def test_help_and_tables_list_the_same_stages() -> None:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        assert sorted(compose("config").stages) == STAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_to_files_hold(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", read(page)):
        generated = target.endswith(("settings.md", "api.md"))
        assert generated or re.match(r"https?:", target) or (page.parent / target).exists(), target


def test_links_to_headings_hold() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", read(page)):
            if not target.startswith("http"):
                heads = re.findall(r"^#+ (.*)$", read(page.parent / target if target else page), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
                assert anchor in slugs, f"{page}: {target}#{anchor}"


# ---- Settings ----


def single_settings(schema: type, key: str = "") -> list[str]:
    """Dotted names of all settings that the schema names one by one."""
    found = []
    for field in dataclasses.fields(schema):
        hint = typing.get_type_hints(schema)[field.name]
        if dataclasses.is_dataclass(hint):
            found += single_settings(hint, f"{key}{field.name}.")  # type: ignore[arg-type]
        elif not str(hint).startswith("dict") and field.name != "name":
            found.append(f"{key}{field.name}")
    return found


def test_the_page_of_settings_has_every_setting_and_every_choice(scripts) -> None:
    page = scripts.settings_page.page()
    groups = {p.name for p in config_folder().iterdir() if p.is_dir()}
    wanted = set(single_settings(Config)) - groups  # ablation and debug are choices alone
    assert {"data.held_out_share", "views.filter.own_floor", "seed"} < wanted
    listed = set(re.findall(r"^\| `([\w.]+)` \|", page, re.M))
    assert not {w for w in wanted if not any(name == w or name.startswith(f"{w}.") for name in listed)}
    for group in (p for p in config_folder().iterdir() if p.is_dir() and p.name != "stages"):
        for choice in group.glob("*.yaml"):
            assert re.search(rf"^\| `{group.name}={choice.stem}`", page, re.M), choice
    assert "| `llm.base_url` |" in page  # only a choice other than the default has it
    assert "| `stages.fingerprint.false_positive_rate` | `0.05` |" in page


def test_a_default_and_its_meaning_stand_beside_a_setting(scripts) -> None:
    page = scripts.settings_page.page()
    row = next(line for line in page.splitlines() if line.startswith("| `data.dev_share` |"))
    assert row == "| `data.dev_share` | number | `0.1` | share of train's pairs that become the split dev |"
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config")
    for name, default in re.findall(r"^\| `([\w.]+)` \| [^|]* \| `(true|false|null|-?[\d.]+)` \|", page, re.M):
        value = OmegaConf.select(cfg, name)
        assert str(value).lower().replace("none", "null") == default or float(value) == float(default), name


def test_comments_are_read_from_nested_settings_and_not_from_quotes(scripts, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('# head\na: 1  # one\nb:\n  c: "x # y"  # two\n  d: {e: 1}\nf: "#1"\n')
    assert scripts.settings_page.config_comments(tmp_path / "a.yaml") == {"a": "one", "b.c": "two"}
    assert scripts.settings_page.headline(tmp_path / "a.yaml") == "head"


def test_every_loss_has_its_formula_on_the_page_of_losses() -> None:
    page = read(REPOSITORY / "docs" / "reference" / "losses.md")
    parts = re.split(r"^### ", page, flags=re.M)[1:]
    for name in [f.name for f in dataclasses.fields(LossWeights)] + ["InfoNCE", "Sigmoid"]:
        own = [part for part in parts if re.search(rf"\b{name}\b", part.splitlines()[0])]
        assert len(own) == 1, name
        assert "$$L = " in own[0]
        module, function = re.search(r"`(\w+)\.(\w+)`", own[0]).groups()  # type: ignore[union-attr]
        source = read(REPOSITORY / "src" / "skufp" / "models" / "losses" / f"{module}.py")
        assert f"def {function}(" in source


# ---- The site ----


def test_links_out_of_docs_lead_to_the_included_page_or_to_the_source(scripts) -> None:
    site = scripts.docs_site
    text = site.with_links("[r](../../experiments/RESULTS.md#teachers) [s](sku.md) [l](../../LICENSE)", "concepts/x.md")
    assert text == f"[r](../measurements.md#teachers) [s](sku.md) [l]({site.SOURCE}LICENSE)"


def test_every_room_has_a_page_with_its_public_modules(scripts) -> None:
    pages = scripts.docs_site.api_pages()
    assert "::: skufp.models.losses.ranking" in pages["reference/api/models.md"]
    for file in (REPOSITORY / "src" / "skufp").rglob("*.py"):
        names = [n.name for n in ast.parse(read(file)).body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        room = file.relative_to(REPOSITORY / "src" / "skufp").parts[0]
        if file.parent.name != "skufp" and file.name != "__init__.py" and any(not n.startswith("_") for n in names):
            dotted = ".".join(file.relative_to(REPOSITORY / "src").with_suffix("").parts)
            assert f"::: {dotted}" in pages[f"reference/api/{room}.md"].splitlines()


@pytest.mark.parametrize("inside", ["`a $b$ c`", "```\n$x$ costs $y$\n```", "it costs $5 or 6$7", r"\$x\$"])
def test_what_is_no_formula_stays(inside: str, scripts) -> None:
    pytest.importorskip("latex2mathml")
    assert scripts.docs_site.with_formulas(inside) == inside


def test_formulas_become_mathml(scripts) -> None:
    pytest.importorskip("latex2mathml")
    text = scripts.docs_site.with_formulas("a $x_i$ b\n\n$$\\frac{1}{2}$$\n")
    assert text.count("<math") == 2
    assert "<mfrac>" in text
    assert "a <span><math" in text  # inline: no block of HTML, wherever in the paragraph it stands
    assert "$" not in text


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', True),
        ('<img alt="" src="http://a.example/x.png">', True),
        ('<script src="assets/x.js"></script><a href="https://arxiv.org">x</a>', False),
        ('<link rel="stylesheet" href="assets/main.css">', False),
    ],
)
def test_a_page_that_loads_from_another_host_is_noticed(html: str, loads: bool, scripts) -> None:
    assert bool(scripts.docs_site.LOADED.search(html)) == loads


# ---- Versions ----


def test_one_version_everywhere() -> None:
    project = tomllib.loads(read(REPOSITORY / "pyproject.toml"))["project"]
    citation = OmegaConf.load(REPOSITORY / "CITATION.cff")
    assert project["version"] == __version__ == citation.version
    heads = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", read(REPOSITORY / "CHANGELOG.md"), re.M)
    assert heads[0] == ("Unreleased", "")
    assert dict(heads)[__version__] == citation["date-released"]


@pytest.mark.parametrize("name", ["test", "release"])
def test_workflows_are_yaml_and_may_only_read(name: str) -> None:
    flow = yaml.safe_load(read(REPOSITORY / ".github" / "workflows" / f"{name}.yml"))
    assert flow["permissions"] == {"contents": "read"}
    assert "secrets." not in read(REPOSITORY / ".github" / "workflows" / f"{name}.yml")
