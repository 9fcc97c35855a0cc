from pathlib import Path

import pytest

from skufp.catalogue.overrides import read_values
from skufp.catalogue.vocabulary import Vocabulary
from skufp.errors import UserError

VOCABULARY = Vocabulary.of({
    "attributes": {
        "colour": {"also": ["color"], "values": {"red": {}, "navy": {"also": ["dark blue"]}}},
        "dress_length": {"name": "length", "values": {"mini": {}, "maxi": {}}},
        "leg_length": {"name": "length", "values": {"cropped": {}, "full": {}}},
    },
    "categories": {
        "dress": {"attributes": ["colour", "dress_length"]},
        "trousers": {"attributes": ["colour", "leg_length"]},
    },
})  # fmt: skip
CATEGORIES = {"A1": "dress", "A2": "dress", "=cmd": "trousers"}


def read(tmp_path: Path, text: str) -> dict[str, dict[str, str]]:
    (tmp_path / "o.csv").write_text(text, encoding="utf-8")
    return read_values(tmp_path / "o.csv", VOCABULARY, CATEGORIES)


def test_values_come_in_the_vocabulary_s_spelling(tmp_path: Path):
    text = "\ufeffsku,attribute,value\nA1,Color,Dark Blue\nA1,length,MAXI\n\nA2,colour,\n=cmd,length,full\n"
    assert read(tmp_path, text) == {
        "A1": {"colour": "navy", "length": "maxi"}, "A2": {"colour": ""}, "=cmd": {"length": "full"}
    }  # fmt: skip


def test_columns_may_be_in_any_order_and_rows_may_repeat(tmp_path: Path):
    assert read(tmp_path, "value,sku,attribute\nred,A1,colour\nred,A1,color\n") == {"A1": {"colour": "red"}}


def test_a_category_that_is_overridden_decides_on_the_other_rows(tmp_path: Path):
    text = "sku,attribute,value\nA1,length,cropped\nA1,category,Trousers\n"
    assert read(tmp_path, text) == {"A1": {"length": "cropped", "category": "trousers"}}


def test_all_mistakes_are_reported_at_once_with_their_lines(tmp_path: Path):
    text = (
        "sku,attribute,value\nA3,colour,red\nA1,colur,red\nA1,colour,nawy\nA2,length,full\n"
        "A2,colour,red\nA2,colour,navy\nA1,category,drss\nA2,category,\n"
    )
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    lines = str(caught.value).splitlines()[1:]
    expected = {
        2: ("no SKU 'A3'", "'A"), 3: ("no attribute 'colur'", "'colour'"), 4: ("no value 'nawy'", "'navy'"),
        5: ("no value 'full'", "mini"), 7: ("is 'red' in a line above", ""), 8: ("no category 'drss'", "'dress'"),
        9: ("without a category", ""),
    }  # fmt: skip
    assert len(lines) == len(expected)
    for number, (what, hint) in expected.items():
        assert any(f"line {number}:" in line and what in line and hint in line for line in lines), number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must be sku,attribute,value, not empty"),
        ("sku,colour\nA1,red\n", "first line must be"),
        ("sku,attribute,value\nA1,colour\n", r"line 2: 2 cells, not 3"),
        ("sku,attribute,value\nA1,colour,red,blue\n", r"line 2: 4 cells, not 3"),
    ],
)
def test_files_that_are_no_such_table_are_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


def test_missing_files_and_other_encodings(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        read_values(tmp_path / "none.csv", VOCABULARY, CATEGORIES)
    (tmp_path / "latin.csv").write_bytes("sku,attribute,value\nA1,colour,bleu foncé\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_values(tmp_path / "latin.csv", VOCABULARY, CATEGORIES)


def test_many_mistakes_are_counted(tmp_path: Path):
    text = "sku,attribute,value\n" + "A1,colour,teal\n" * 14
    with pytest.raises(UserError, match="and 4 more"):
        read(tmp_path, text)
