import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from skufp.catalogue.attribute_files import load_vocabulary
from skufp.catalogue.vocabulary import Vocabulary, ensemble
from skufp.data.deepfashion2 import CATEGORIES
from skufp.errors import UserError
from skufp.schema import register_schema

CONF = Path(__file__).parents[2] / "conf"
SMALL: dict[str, Any] = {
    "category_prompts": ["a photo of a {category}"],
    "attributes": {
        "colour": {
            "also": ["color"],
            "prompts": ["a {value} {category}", "a {category} in {value}"],
            "values": {"orange": {}, "navy": {"words": ["navy", "dark blue"], "also": ["dark blue"]}},
        },
        "dress_length": {"name": "length", "prompts": ["a {value} {category}"], "values": {"mini": {}, "maxi": {}}},
        "leg_length": {"name": "length", "values": {"cropped": {}, "full": {}}},
    },
    "categories": {
        "dress": {
            "attributes": ["colour", "dress_length"], "google": "2271 - Clothing > Dresses",
            "also": {"Gown": {"length": "maxi"}, "frock": {}},
        },
        "trousers": {"attributes": ["leg_length"], "plural": True, "words": ["trousers", "pants"]},
    },
}  # fmt: skip


def shipped(name: str) -> Vocabulary:
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load_vocabulary(compose("config", [f"vocabulary={name}"]))


def small() -> Vocabulary:
    return Vocabulary.of(SMALL)


def test_prompts_of_values_and_categories():
    vocabulary = small()
    dress = vocabulary.category("dress")
    assert ensemble(dress.attribute("colour"), dress) == {
        "orange": ["an orange dress", "a dress in orange"],
        "navy": ["a navy dress", "a dark blue dress", "a dress in navy", "a dress in dark blue"],
    }
    trousers = vocabulary.category("trousers")
    assert ensemble(trousers.attribute("length"), trousers) == {
        "cropped": ["cropped trousers"],
        "full": ["full trousers"],
    }
    assert vocabulary.category_ensemble() == {
        "dress": ["a photo of a dress"],
        "trousers": ["a photo of trousers", "a photo of pants"],
    }


def test_one_name_means_another_list_in_another_category():
    vocabulary = small()
    assert vocabulary.category("dress").attribute("length").values == ("mini", "maxi")
    assert vocabulary.category("trousers").attribute("Length").values == ("cropped", "full")


def test_other_spellings_resolve_and_other_names_say_more_than_the_category():
    vocabulary = small()
    assert vocabulary.category("dress").attribute("Color").resolve("Dark-Blue") == "navy"
    assert vocabulary.category("dress").attribute("colour").resolve("teal") is None
    found = vocabulary.resolve("GOWN")
    assert found is not None
    assert (found[0].name, found[1]) == ("dress", {"length": "maxi"})
    assert vocabulary.resolve("kilt") is None


def test_ids_in_product_taxonomies():
    google = small().category("dress").google
    assert google is not None
    assert (google.id, google.path) == ("2271", "Clothing > Dresses")
    assert small().category("trousers").google is None


def test_unknown_names_are_refused_with_the_nearest():
    dress = small().category("dress")
    with pytest.raises(UserError, match=r"colour has no value 'navi'.*'navy'"):
        dress.attribute("colour").check("navi")
    with pytest.raises(UserError, match=r"category 'dress' has no attribute 'lenght'.*'length'"):
        dress.attribute("lenght")
    with pytest.raises(UserError, match=r"no category 'dres'.*'dress'"):
        small().category("dres")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("attributs",), {}, r"no setting 'attributs'.*'attributes'"),
        (("attributes", "colour", "prompt"), ["x"], r"attributes\.colour: there is no setting 'prompt'.*'prompts'"),
        (("attributes", "colour", "prompts"), ["a {colour} {category}"], r"must have {value}"),
        (("attributes", "colour", "prompts"), [], r"at least one template"),
        (("attributes", "colour", "values"), {}, r"at least one name"),
        (("attributes", "colour", "values"), {False: {}}, r"'False' is no name"),
        (("attributes", "colour", "values", "orange"), {"shopfy": "Orange"}, r"'shopfy'.*'shopify'"),
        (("attributes", "colour", "values", "orange"), {"also": ["navy"]}, r"'navy' means both 'orange' and 'navy'"),
        (("attributes", "colour", "values", "orange"), {"rgb": [[300, 0, 0]]}, r"orange\.rgb: .*0 to 255"),
        (("attributes", "colour", "values", "orange"), {"words": "orange"}, r"list of texts"),
        (("attributes", "dress_length", "name"), "category", r"cannot be called 'category'"),
        (("categories", "dress", "attributes"), ["color"], r"no attribute 'color'.*'colour'"),
        (("categories", "dress", "attributes"), ["dress_length", "leg_length"], r"both called 'length'"),
        (("categories", "dress", "google"), 2271, r"dress\.google: give id and path, .* not '2271'"),
        (("categories", "dress", "plural"), "no", r"true or false"),
        (("categories", "dress", "also"), {"gown": {"length": "max"}}, r"gown\.length: no value 'max'.*'maxi'"),
        (("categories", "dress", "also"), {"gown": {"sleeve": "long"}}, r"no setting 'sleeve'"),
        (("categories", "dress", "also"), {"Trousers": {}}, r"means both"),
        (("categories", "dress"), ["colour"], r"give settings"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused_and_the_place_is_named(path: tuple[str, ...], value: Any, message: str):
    spec = copy.deepcopy(SMALL)
    inner = spec
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=message):
        Vocabulary.of(spec)


@pytest.mark.parametrize("name", ["starter", "enhanced"])
def test_shipped_vocabularies_know_deepfashion2s_categories(name: str):
    vocabulary = shipped(name)
    found = {label: vocabulary.resolve(label) for label in CATEGORIES.values()}
    names = {label: match[0].name for label, match in found.items() if match}
    assert names == {
        "short sleeve top": "top", "long sleeve top": "top", "short sleeve outwear": "outerwear",
        "long sleeve outwear": "outerwear", "vest": "tank top", "sling": "camisole", "shorts": "shorts",
        "trousers": "trousers", "skirt": "skirt", "short sleeve dress": "dress", "long sleeve dress": "dress",
        "vest dress": "dress", "sling dress": "dress",
    }  # fmt: skip
    said = {label: match[1]["sleeve"] for label, match in found.items() if match and match[1]}
    assert said == {
        "short sleeve top": "short", "long sleeve top": "long", "short sleeve outwear": "short",
        "long sleeve outwear": "long", "sling": "straps", "short sleeve dress": "short", "long sleeve dress": "long",
        "vest dress": "sleeveless", "sling dress": "straps",
    }  # fmt: skip


STARTER = {
    "colour": {"black", "white", "red", "blue", "green", "yellow", "pink", "beige", "grey", "navy", "brown", "orange",
               "purple", "multicolour"},
    "sleeve": {"sleeveless", "straps", "short", "three-quarter", "long"},
    "pattern": {"solid", "striped", "printed", "floral", "checked", "dotted", "colour-block", "animal"},
    "fabric": {"cotton", "polyester", "denim", "silk", "wool", "linen", "leather", "knit"},
    "fit": {"regular", "slim", "loose"},
}  # fmt: skip


def test_the_starter_lists_are_those_asked_for():
    attributes = shipped("starter").attributes
    assert {key: set(attributes[key].values) for key in STARTER} == STARTER
    assert [c for c, term in attributes["colour"].terms.items() if not term.rgb] == ["multicolour"]


def test_the_enhanced_lists_extend_the_starter_s():
    starter, enhanced = shipped("starter"), shipped("enhanced")
    for key, attribute in starter.attributes.items():
        assert set(attribute.values) <= set(enhanced.attributes[key].values)
    for name, category in starter.categories.items():
        assert set(category.attributes) <= set(enhanced.categories[name].attributes)
    assert {"jeans", "saree", "lehenga", "kurta", "coat", "gilet"} <= set(enhanced.categories)
    assert "mom" in enhanced.category("jeans").attribute("fit").values
    saree = enhanced.category("saree").google
    assert saree is not None
    assert (saree.id, saree.path.split(" > ")[-1]) == ("8248", "Saris & Lehengas")


@pytest.mark.parametrize("name", ["starter", "enhanced"])
def test_every_colour_pattern_and_category_of_luma_resolves(name: str, luma: Path):
    vocabulary = shipped(name)
    unknown: Counter[str] = Counter()
    for line in (luma / "products.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = vocabulary.resolve(row["category"])
        assert found is not None, row["category"]
        assert found[1]["gender"] == row["category"].split("/")[0].lower()
        labels = {"colour": [row["colour"]], "pattern": row["pattern"]}
        unknown.update(v for a, values in labels.items() for v in values if not found[0].attribute(a).resolve(v))
    assert not unknown


def test_a_shop_s_own_lists_add_and_replace(tmp_path: Path) -> None:
    register_schema()
    own = tmp_path / "mine.yaml"
    own.write_text("attributes: {colour: {values: {teal: {}}}}\ncategories: {scarf: {attributes: [colour]}}\n")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = load_vocabulary(compose("config", [f"vocabulary.extend={own}"]))
        assert "teal" in found.category("scarf").attribute("colour").values
        assert "black" in found.category("scarf").attribute("colour").values
        own.write_text("attributes: {colour: {valeus: {teal: {}}}}")
        with pytest.raises(UserError, match="Did you mean 'values'"):
            load_vocabulary(compose("config", [f"vocabulary.extend={own}"]))
        own.write_text("attributes: [colour\n  - {")
        with pytest.raises(UserError, match="not YAML"):
            load_vocabulary(compose("config", [f"vocabulary.extend={own}"]))
        with pytest.raises(UserError, match="there is no such file"):
            load_vocabulary(compose("config", ["vocabulary.extend=none.yaml"]))
