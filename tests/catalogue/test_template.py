import itertools

import pytest

from skufp.catalogue.checker import Checker
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.metadata import FIELDS, ProductCopy, answer_schema, valid_field
from skufp.catalogue.spoken_facts import shorten
from skufp.catalogue.template import Template
from skufp.errors import UserError

TONES = ("neutral", "friendly", "elegant")


def product(category: str, sku: str = "1", fields: dict[str, str] | None = None, **attributes: str) -> Facts:
    return Facts(sku, category, {n: Value(v, 0.9, "prompt") for n, v in attributes.items()}, fields or {})


def test_a_dress_reads_like_this() -> None:
    dress = product(
        "dress", colour="navy", neckline="v-neck", sleeve="short", pattern="striped", fabric="cotton", length="midi"
    )
    copy = Template().write(dress)
    assert copy.title == "Navy Striped Cotton Midi Dress with V-Neck and Short Sleeves"
    assert copy.bullet_points == [
        "Colour: navy", "V-neck", "Short sleeves", "Pattern: striped", "Fabric: cotton", "Midi length",
    ]  # fmt: skip
    assert "navy striped cotton midi dress" in copy.description.lower()
    assert "It has a V-neck and short sleeves." in copy.description
    assert copy.style_summary == "A navy striped cotton midi dress with a V-neck and short sleeves."
    assert copy.seo_tags[:6] == [
        "navy dress", "striped dress", "cotton dress", "midi dress", "v-neck dress", "short sleeve dress",
    ]  # fmt: skip


def test_pairs_are_plural_and_articles_fit() -> None:
    jeans = Template().write(product("jeans", colour="blue", fit="slim", rise="high"))
    assert jeans.style_summary == "Slim blue jeans with a high rise."
    assert "They have a high rise." in jeans.description
    assert Template().write(product("top", colour="orange")).style_summary.startswith("An orange top")


def test_the_category_is_not_said_twice() -> None:
    title = Template().write(product("short sleeve top", sleeve="short", neckline="crew neck")).title
    assert title == "Short Sleeve Top with Crew Neck"
    assert Template().write(product("sweater", neckline="turtleneck")).title == "Sweater with Turtleneck"


def test_the_manifest_s_own_title_and_brand_are_kept() -> None:
    trousers = product("trousers", fields={"title": "Thorpe Track Pant", "brand": "Luma"}, colour="black")
    copy = Template().write(trousers)
    assert copy.title == "Luma Thorpe Track Pant in Black"
    assert "Brand: Luma" in copy.bullet_points
    assert copy.description.startswith("Thorpe Track Pant: black trousers.")


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("category", ["", "skirt", "jeans", "x" * 400, "a b " * 200, " \n"])
def test_lengths_hold_for_a_product_with_nothing_but_its_category(tone: str, category: str) -> None:
    copy = Template(tone=tone).write(product(category))
    assert ProductCopy.model_validate_json(copy.model_dump_json()) == copy


def test_a_model_is_told_three_points_at_least_and_tags_of_the_facts_first() -> None:
    template = Template()
    shirt = product("shirt", colour="navy", pattern="solid", sleeve="long", neckline="v-neck", collar="none")
    assert template.points(shirt) == {
        "colour": "navy colour", "pattern": "solid pattern", "sleeve": "long sleeves", "neckline": "V-neck",
    }  # fmt: skip
    assert template.words(shirt) == {"colour": "navy", "sleeve": "long sleeves", "neckline": "V-neck", "kind": "shirt"}
    assert template.parts("seo_tags", shirt)[:4] == ["colour", "sleeve", "neckline", "style"]
    assert template.parts("title", shirt) == []
    assert len(template.points(product("skirt"))) == 3
    assert len(template.parts("seo_tags", product("skirt"))) == 5


def test_a_title_by_a_model_gets_the_template_s_form() -> None:
    assert Template().styled("title", "a navy dress with V-neck") == "Navy Dress with V-Neck"
    assert Template().styled("title", "A") == "A"
    assert Template().styled("description", "a dress") == "a dress"


def test_lengths_hold_for_endless_and_odd_facts() -> None:
    for text in ("word " * 300, "y" * 6000, "=1+1", "{title} %s {", "<b>", "ÄÖ 服", "\t"):
        names = ("colour", "pattern", "sleeve", "neckline", "collar", "occasion", "unheard_of")
        facts = product(text, fields={"title": text, "brand": text}, **dict.fromkeys(names, text))
        Template().write(facts)
        Template().write(product(text, **dict.fromkeys(names, text)))


def test_the_checker_finds_nothing_in_template_copy() -> None:
    checker = Checker()
    values = {
        "colour": "red", "pattern": "solid", "fabric": "denim", "fit": "loose", "length": "knee-length",
        "neckline": "round neck", "sleeve": "sleeveless", "collar": "mandarin", "closure": "zip",
        "occasion": "party", "gender": "women", "rise": "low",
    }  # fmt: skip
    subsets = [dict(pair) for size in (0, 1, len(values)) for pair in itertools.combinations(values.items(), size)]
    for tone, category in itertools.product(TONES, ("dress", "jeans", "long sleeve top")):
        template = Template(tone=tone)
        for number, attributes in enumerate(subsets):
            facts = product(category, str(number), {"brand": "Zorvex"} if number % 2 else {}, **attributes)
            copy = template.write(facts)
            problems = [p for name in FIELDS for p in checker.check(name, getattr(copy, name), facts)]
            assert problems == [], (tone, facts, copy)


def test_equal_facts_give_equal_copy_and_sentences_vary_between_products() -> None:
    facts = [product("dress", str(i), colour="red") for i in range(20)]
    texts = [Template().write(f).description for f in facts]
    assert texts == [Template().write(f).description for f in facts]
    assert len(set(texts)) == 2


def test_an_unknown_tone_or_language_is_refused() -> None:
    with pytest.raises(UserError, match=r"llm.tone=elegnt: .* Did you mean 'elegant'"):
        Template(tone="elegnt")
    with pytest.raises(UserError, match=r"llm.language=de: .*copy .*en.* to 'de'"):
        Template("de")


def test_shorten_cuts_at_words() -> None:
    assert shorten("one two three", 13) == "one two three"
    assert shorten("one two three", 9) == "one two…"
    assert shorten("abcdefghij", 5) == "abcd…"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("title", "", "at least 1"),
        ("title", "x" * 151, "at most 150"),
        ("bullet_points", ["a", "b"], "at least 3"),
        ("bullet_points", ["a", "b", "x" * 201], "bullet_points 3: .*at most 200"),
        ("seo_tags", [*"abcd", "E"], "lower case: E"),
        ("seo_tags", list("abcdda"), "unique: a, d"),
        ("description", ["a"], "valid string"),
    ],
)
def test_the_schema_says_which_field_and_why(name: str, value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        valid_field(name, value)


def test_what_is_asked_of_a_model_lies_within_the_schema() -> None:
    published = ProductCopy.model_json_schema()["properties"]
    for name in FIELDS:
        asked = answer_schema(name)["properties"][name]
        assert asked["type"] == published[name]["type"]
        for low, high in (("minLength", "maxLength"), ("minItems", "maxItems")):
            for a, p in ((asked, published[name]), (asked.get("items", {}), published[name].get("items", {}))):
                assert a.get(low, 0) >= p.get(low, 0)
                assert a.get(high, 0) <= p.get(high, 0)
