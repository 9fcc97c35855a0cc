import pytest

from skufp.catalogue.facts import Facts, Value, words_of


def facts() -> Facts:
    return Facts(
        "7", "dress", {"sleeve_length": Value("three-quarter", 0.8, "prompt")}, {"brand": "Åsa & Co", "price": "29.90"}
    )


def test_words_are_those_of_category_attributes_and_fields_and_no_others():
    expected = {"dress", "sleeve", "length", "three-quarter", "three", "quarter", "åsa", "co", "29.90"}
    assert facts().words() == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Crew-neck TEE", ["crew-neck", "crew", "neck", "tee"]),
        ("men’s", ["men's", "men", "s"]),
        ("crew\u2011neck", ["crew-neck", "crew", "neck"]),
        ("100% cotton, 1,299.00", ["100", "cotton", "1,299.00"]),
        ("soft—warm", ["soft", "warm"]),
        ("colour_block", ["colour", "block"]),
        ("2XL 50cm", ["2", "xl", "50", "cm"]),
        ("रेशम", ["रेशम"]),
        ("…!", []),
    ],
)
def test_words_of(text: str, words: list[str]):
    assert words_of(text) == words


def test_json_round_trip():
    assert Facts.from_dict(facts().to_dict()) == facts()


@pytest.mark.parametrize(
    ("confidence", "source"), [(1.1, "prompt"), (-0.1, "prompt"), (float("nan"), "prompt"), (0.5, "guess")]
)
def test_a_value_that_cannot_be_is_refused(confidence: float, source: str):
    with pytest.raises(ValueError, match=r"confidence|source"):
        Value("red", confidence, source)
