"""What the word index holds of a SKU, and how much each part counts."""

from skufp.serve.word_texts import NAMED, READ, TOLD, texts_of

LONG = "A shirt that you will wear on every one of the long days of summer."


def test_fields_category_and_attributes_are_texts_with_weights() -> None:
    fields = {"title": "Thorpe Pant", "description": LONG, "pockets": "yes", "second_colour": "none", "colour": "Gray"}
    read = {"name": "fit", "value": "loose", "source": "pixels"}
    people = {"name": "neckline", "value": "crew", "source": "override"}
    known = {"name": "colour", "value": "gray", "source": "manifest"}
    unsure = {"name": "category", "value": "garment", "source": "prompt", "confidence": 0.0}
    assert texts_of("trousers", fields, [read, people, known, unsure]) == [
        ("trousers", NAMED), ("Thorpe Pant", NAMED), (LONG, TOLD), ("pockets", NAMED), ("Gray", NAMED),
        ("loose", READ), ("crew", NAMED),
    ]  # fmt: skip


def test_addresses_and_empty_values_are_no_words() -> None:
    assert texts_of("", {"link": "https://shop.example/1", "picture": "images/1.jpg", "belt": "no", "hem": ""}) == []


def test_a_value_that_two_columns_have_counts_once() -> None:
    assert texts_of("top", {"category": "top", "name": "Tank"}) == [("top", NAMED), ("Tank", NAMED)]
