"""Terms of a text: case, accents, punctuation and plurals fold; scripts other than Latin stay."""

import pytest

from skufp.retrieval.words.terms import singular, terms_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women's T-Shirts & Dresses", ["women", "t", "shirt", "dress"]),
        ("CRÈME café, naïve Ærø łódź", ["creme", "cafe", "naive", "aero", "lodz"]),
        ("Logan HeatTec&reg; Tee™ (Crew-Neck)", ["logan", "heattec", "tee", "crew", "neck"]),
        ("MP07-Black 29.90", ["mp07", "black", "29.90"]),
        ("ｆｕｌｌ　ｗｉｄｔｈ", ["full", "width"]),
        ("ΦΌΡΕΜΑ Straße", ["φορεμα", "strasse"]),
        ("Платья Ёлка", ["платья", "елка"]),
        ("हिन्दी लाल", ["हिन्दी", "लाल"]),
        ("كنزة حمراء", ["كنزة", "حمراء"]),
        ("赤い服 tee", ["赤", "い", "服", "赤い", "い服", "tee"]),
        ("👗 red", ["👗", "red"]),
        ("?! … — //", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_terms(text: str, expected: list[str]) -> None:
    assert terms_of(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("skirts", "skirt"), ("dresses", "dress"), ("dress", "dress"), ("boxes", "box"), ("berries", "berry"),
        ("shorts", "shorts"), ("women's", "women"), ("gas", "gas"), ("canvas", "canva"), ("платьяs", "платьяs"),
    ],
)  # fmt: skip
def test_plurals_become_singulars(word: str, expected: str) -> None:
    assert singular(word) == expected


def test_terms_of_terms_are_the_same_terms() -> None:
    text = "Grey striped long-sleeved T-shirts, 100% cotton; size 42 كنزة 赤"
    once = terms_of(text)
    assert terms_of(" ".join(once)) == once
