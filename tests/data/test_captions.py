"""Template prompts, and captions of what a SKU's labels say."""

import pytest

from skufp.data.captions import ALSO, attributes_of, rich_caption, template_caption, training_text


@pytest.mark.parametrize(
    ("domain", "category", "occlusion", "viewpoint", "text"),
    [
        ("query", "short sleeve top", 3, 3,
         "A user photo of a person wearing a heavily occluded short sleeve top from the side or back."),
        ("catalog", "vest", 1, 2, "A catalog photo of a person wearing a vest from the front."),
        ("catalog", "skirt", 2, 1, "A catalog photo of a partially occluded skirt, not worn."),
        ("query", "trousers", 0, 0, "A user photo of a person wearing a trousers."),
        ("query", "apron", 1, 2, "A user photo of a person wearing an apron from the front."),
        ("catalog", "overall", 1, 1, "A catalog photo of an overall, not worn."),
        ("catalog", "overall", 3, 1, "A catalog photo of a heavily occluded overall, not worn."),
    ],
)  # fmt: skip
def test_captions(domain: str, category: str, occlusion: int, viewpoint: int, text: str) -> None:
    assert template_caption(domain, category, occlusion, viewpoint) == text


def test_unknown_annotation_values_are_left_out() -> None:
    assert template_caption("query", "vest", 9, 9) == "A user photo of a person wearing a vest."


@pytest.mark.parametrize(
    ("category", "fields", "text"),
    [
        ("T-shirt", {"colour": "Navy", "sleeve": "short", "neckline": "crew", "pattern": "solid", "fabric": "cotton"},
         "navy short sleeve crew-neck T-shirt, solid, cotton"),
        ("top", {"Color": "Red", "Sleeve Length": "long sleeve", "NECK": "v", "material": "Cotton, Wool"},
         "red long sleeve V-neck top, cotton, wool"),
        ("short sleeve top", {"colour": "white", "second_colour": "black", "sleeve": "short puff", "length": "long"},
         "white and black puff sleeve short sleeve top, long length"),
        ("short sleeve top", {"sleeve": "short", "neckline": "boat neck"}, "boat neck short sleeve top"),
        ("vest", {"sleeve": "sleeveless", "neckline": "off-shoulder"}, "sleeveless off-shoulder vest"),
        ("sling dress", {"sleeve": "straps", "collar": "none", "hem": "n/a", "fit": ""}, "straps sling dress"),
        ("shirt", {"fit": "slim fit", "collar": "polo", "closure": "zip", "graphic": "star", "gender": "men"},
         "shirt, star graphic, slim fit, polo collar, zip closure, for men"),
        ("skirt", {"back_panel": "yes", "colour_block": "yes", "pattern": "yes", "pockets": "no"},
         "skirt, colour block, back panel"),
        ("", {"colour": "red"}, "red garment"),
        ("skirt", {"colour": "red", "second colour": "Red"}, "red skirt"),
        ("skirt", {"title": "Navy skirt", "name": "Red one", "price": "9", "brand": "B", "climate": "Cold"}, ""),
        ("skirt", {}, ""),
        ("skirt", {"colour": " ", "fabric": "None"}, ""),
    ],
)  # fmt: skip
def test_rich_captions(category: str, fields: dict[str, str], text: str) -> None:
    assert rich_caption(category, fields) == text


def test_every_attribute_is_told_under_each_of_its_names() -> None:
    for name, others in ALSO.items():
        for column in (name, *others, name.upper(), name.replace(" ", "_")):
            assert attributes_of({column: "Some  Value", "title": "t"}) == {name: "some value"}
            assert "some value" in rich_caption("skirt", {column: "some value"})


def test_of_two_columns_the_first_name_counts() -> None:
    assert attributes_of({"material": "wool", "fabric": "cotton"}) == {"fabric": "cotton"}
    assert attributes_of({"material": "wool", "fabric": ""}) == {"fabric": "wool"}


def test_training_falls_back_to_the_template() -> None:
    row = {"text": "A photo.", "rich_text": "red skirt"}
    assert [training_text(row, kind) for kind in ("template", "attributes")] == ["A photo.", "red skirt"]
    assert training_text(row | {"rich_text": ""}, "attributes") == "A photo."
