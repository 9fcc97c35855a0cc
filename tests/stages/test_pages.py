"""Text that a shop, a person or a model wrote stays text in every page that a stage writes: none becomes markup."""

import ast
import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

from omegaconf import OmegaConf
from PIL import Image

import skufp
from skufp.catalogue.described import Described
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.metadata import ProductCopy
from skufp.reports.catalogue.cards import PAGE, Card, write_cards
from skufp.reports.clusters import write_page
from skufp.reports.evaluation.page import write_report

EVIL = """"'><script>x()</script>&"""  # lower case and short: it may even be a tag
PACKAGE = Path(skufp.__file__).parent


class Read(HTMLParser):
    """What a browser would see of a page: its elements, their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def check(self, in_text: int, in_attributes: int) -> None:
        """EVIL stands as often as it was put into text, and into attributes, and is nothing but text there."""
        assert "script" not in self.elements
        assert self.text.count(EVIL) == in_text
        assert sum(value.count(EVIL) for _, value in self.attributes) == in_attributes
        assert {name for name, _ in self.attributes} <= {
            "alt", "charset", "class", "colspan", "content", "href", "id", "lang", "name", "src", "style", "title",
        }  # fmt: skip


def test_cards_of_products(tmp_path: Path) -> None:
    tags = [f"{i}{EVIL}" for i in range(5)]
    copy = ProductCopy(
        title=EVIL, bullet_points=[EVIL] * 3, description=EVIL, style_summary=EVIL, seo_tags=tags
    )  # fmt: skip
    facts = Facts(EVIL, EVIL, {EVIL: Value(EVIL, 0.5, "probe")}, {"title": EVIL}, Value(EVIL, 0.5, "prompt"))
    product = Described(facts, copy, {"title": "model"}, notes={"title": EVIL})
    tile = ("data:image/jpeg;base64,", EVIL, 0.5)
    kinds = ("similar", "same_style", "near_style", "complete_the_look")
    write_cards(tmp_path, EVIL, [Card(product, "data:image/jpeg;base64,", {kind: [tile] for kind in kinds})])
    # Text: two titles of the page, the product's id, category, attribute and its value, copy of 11 parts, four tiles.
    Read(tmp_path / PAGE).check(in_text=2 + 4 + 11 + 4, in_attributes=2 + 1 + 4)


def test_groups_of_products(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(photo)
    sku = {"split": EVIL, "sku_id": EVIL, "category": EVIL, "cosine": 0.5}
    trait = {"field": EVIL, "value": EVIL, "share": 0.5, "rest": 0.1}
    cluster = {"cluster": 1, "name": EVIL, "size": 1, "mean_cosine": 0.5, "traits": [trait], "skus": [sku]}
    match = {"purity": 0.5, "purity_by_chance": 0.5, "nmi": 0.5, "nmi_by_chance": 0.5}
    result = {
        "products": 1, "gallery": [EVIL], "clusters": [cluster], "chosen_by": "silhouette", "silhouettes": {2: 0.5},
        "agreement": {EVIL: match},
    }  # fmt: skip
    write_page(tmp_path / "clusters.html", EVIL, result, [[photo]])
    Read(tmp_path / "clusters.html").check(in_text=1 + 1 + 2 + 1 + 2 + 2, in_attributes=3)


def test_the_report_of_an_evaluation(world: SimpleNamespace, evaluated: Path, tmp_path: Path) -> None:
    cfg = OmegaConf.merge(world.cfg, {"data": {"label": EVIL}})
    metrics = json.loads((evaluated / "metrics.json").read_text())
    metrics["try_next"] = {"image": EVIL, "text": "navy"}
    card = {"sku": EVIL, "picture": "data:image/jpeg;base64,", "right": True}
    example = {"rank": 1, "query": "data:image/jpeg;base64,", "truth": card, "answers": [card]}
    write_report(cfg, tmp_path, metrics, [example])
    page = Read(tmp_path / "report.html")
    assert "script" not in page.elements
    assert "Text → SKU by vectors, by words and by both" in page.text
    assert page.text.count("<script>x()</script>") == 2 + 2 + 1  # two titles, two captions, the command's quoted path


def test_no_environment_and_no_template_of_the_package_turns_escaping_off() -> None:
    """Whatever page comes next: every jinja2.Environment escapes, and nothing vouches for text that it did not make.

    The model card is Markdown, whose values are escaped otherwise: see test_model_card.
    """
    found = 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Environment", "Template")):
                if path.name == "model_card.py" or "jinja2" not in path.read_text(encoding="utf-8"):
                    continue
                found += 1
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("autoescape") == "True", f"{path}:{node.lineno}"
                assert path == PACKAGE / "reports" / "html.py", f"{path}:{node.lineno}: a second environment"
            if isinstance(node, ast.Name | ast.Attribute):
                assert ast.unparse(node).rpartition(".")[2] not in ("Markup", "filters.FILTERS"), (
                    f"{path}:{node.lineno}"
                )
    templates = list(PACKAGE.rglob("*.j2"))
    assert found == 1
    assert templates
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert "|safe" not in text.replace(" ", ""), path
        assert "autoescape" not in text, path
