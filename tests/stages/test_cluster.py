"""stage=cluster: what products are called by, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from skufp.artifacts.products import Product
from skufp.errors import UserError
from skufp.stages import cluster as stage

WORDS, TITLES = ["colour", "material"], ["title", "name"]


def test_words_come_from_columns_whatever_their_case() -> None:
    fields = {"Colour": "Navy", "material": "Cotton, Hemp, ", "Name": "Breathe-Easy Tank 2", "price": "5"}
    assert stage.product_words(Product("train", "a", "Vest", fields), WORDS, TITLES) == {
        "colour": ["navy"], "material": ["cotton", "hemp"], "category": ["vest"], "title": ["breathe", "easy", "tank"],
    }  # fmt: skip
    own = stage.product_words(Product("train", "a", "", {"category": "Tops"}), WORDS, TITLES)
    assert own == {"category": ["tops"], "title": []}


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    sku = {"split": "train", "sku_id": "=HYPERLINK(1)", "category": "+1", "cosine": 0.5}
    stage.write_csv(tmp_path / "c.csv", [{"cluster": 1, "name": "@SUM(A1)", "skus": [sku]}])
    with (tmp_path / "c.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == ["1", "'@SUM(A1)", "train", "'=HYPERLINK(1)", "'+1", "0.5000"]


@pytest.mark.parametrize(
    ("setting", "value"), [("clusters", 0), ("clusters", "many"), ("clusters", 2.5), ("most", 1), ("shown", 0)]
)
def test_settings_that_mean_nothing_are_refused(setting: str, value: Any) -> None:
    spec = {"clusters": None, "most": 40, "shown": 12}
    stage.check(OmegaConf.create({"stages": {"cluster": spec}}))
    with pytest.raises(UserError, match=rf"stages\.cluster\.{setting}={value}: give a whole number"):
        stage.check(OmegaConf.create({"stages": {"cluster": spec | {setting: value}}}))
