"""Model cards: every kind of stage, and names that try to be markup."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from markdown_it import MarkdownIt
from omegaconf import DictConfig

from skufp.artifacts.folder import write_json
from skufp.reports.model_card import KINDS, inert, model_card, start
from skufp.schema import register_schema
from skufp.shipped import config_folder
from skufp.targets import BUILT

Rows = Callable[[str], dict[str, str]]
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[link](https://a.example)", "![pic](x.png)",
    "**bold**", "_slanted_", "`code`", "a|b|c", "line\nbreak", "# heading", "~~gone~~", "https://a.example/x",
    "a@b.example", "www.a.example", "&lt;b&gt;", "\\", "{{ 7 * 7 }}", "{% raw %}", "shop_2024", "<!-- x", "]: #",
    "a\u2028b", "\x1b[31m",
]  # fmt: skip


@cache
def composed(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", list(overrides))


def folder_of(path: Path, **metrics: Any) -> Path:
    path.mkdir()
    write_json(path / "metrics.json", {"steps": 7} | metrics)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_and_adds_no_markup(name: str, tmp_path: Path, card_rows: Rows) -> None:
    cfg = copy.deepcopy(composed("stage=retriever"))
    cfg.data.label = name
    card = model_card(cfg, folder_of(tmp_path / "retriever"))
    plain = model_card(composed("stage=retriever", "data.label=plain"), tmp_path / "retriever")
    kinds = [[t.type for t in MarkdownIt("commonmark").enable("table").parse(c)] for c in (card, plain)]
    assert kinds[0] == kinds[1], "the name changed the structure of the page"
    inline = [
        child.type
        for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(card)
        for child in token.children or []
    ]
    assert set(inline) <= {"text", "text_special", "code_inline", "softbreak"}, "the name is markup"
    printable = "".join(c if c.isprintable() else " " for c in name)
    assert card_rows(card)["data"] == f"{' '.join(printable.split())} (data=synthetic)"


@pytest.mark.parametrize("address", ["https://a.example", "www.a.example", "a@b.example"])
def test_addresses_are_no_bare_links_either(address: str) -> None:
    assert inert(address) not in address  # GitHub links bare addresses: an escaped sign breaks them
    assert MarkdownIt("commonmark").renderInline(inert(address)) == address


@pytest.mark.parametrize(
    ("share", "steps", "says"),
    [
        (0.25, 150, "Weights: 0.25 of the training is kept"),
        (None, 150, "Weights: those of the last step."),
        (None, 0, "Nothing was trained: these are the weights of the start."),
    ],
)
def test_the_share_of_the_training_that_is_kept(share: float | None, steps: int, says: str, tmp_path: Path) -> None:
    mix = {} if share is None else {"wise_ft": {"alpha": share, "tried": []}}
    card = model_card(composed("stage=retriever", "model=lite"), folder_of(tmp_path / "r", steps=steps, **mix))
    assert says in card
    assert "pretrained EfficientNet-Lite0" in card
    assert "The data has no dev queries for this stage" in card


@pytest.mark.parametrize(
    ("stage", "choice", "says"),
    [
        ("judge", "judge=siglip_tiny", "random weights (tiny_siglip)"),
        ("retriever", "model=siglip", "the weights of google/siglip2-base-patch16-224"),
        ("augmenter", "augmenter=tiny", "ViewDiT.from_pretrained"),
        ("policy", "policy=default", "load_policy"),
    ],
)
def test_every_training_stage_has_a_card(stage: str, choice: str, says: str, tmp_path: Path) -> None:
    card = model_card(composed(f"stage={stage}", choice), folder_of(tmp_path / stage))
    assert says in card
    assert "{{" not in card


@pytest.mark.parametrize(
    ("stage", "aggregator", "loss"),
    [("fingerprint", "GeM", "default"), ("plain_attention", "Attention", "contrastive")],
)
def test_the_aggregator_is_the_one_that_the_stage_trains(
    stage: str, aggregator: str, loss: str, tmp_path: Path, card_rows: Rows
) -> None:
    table = card_rows(model_card(composed(f"stage={stage}", "aggregator=gem"), folder_of(tmp_path / stage)))
    assert (table["aggregator"], table["loss"]) == (aggregator, loss)


def test_every_lightning_module_has_a_kind() -> None:
    modules = {name.rpartition(".")[2] for name in BUILT if name.startswith("skufp.modules.")}
    assert modules == set(KINDS)


def test_the_start_names_a_folder_where_one_is_given() -> None:
    spec = {"encoder": {"_target_": "skufp.models.lite.LiteEncoder", "pretrained": "mine/"}}
    assert start(spec, "encoder") == "the weights of mine/"
