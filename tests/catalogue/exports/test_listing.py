"""What a product needs to be sold: from the manifest, the attributes or the shop, never invented."""

from collections.abc import Callable

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.exports import Shop
from skufp.catalogue.exports.listing import SUPPLY, handle_of, listing, right_gtin
from skufp.catalogue.facts import Value

Make = Callable[..., Described]


@pytest.mark.parametrize(
    ("gtin", "right"),
    [
        ("4006381333931", True), ("4006381333932", False), ("036000291452", True), ("73513537", True),
        ("14006381333938", True), ("40063813339", False), ("", False), ("４００６３８１３３３９３１", False),
    ],
)  # fmt: skip
def test_gtin_check_digits(gtin: str, right: bool) -> None:
    assert right_gtin(gtin) is right


def test_nothing_is_invented(make: Make) -> None:
    bare = listing(make(attributes={}, fields={}), Shop())
    assert [name for name in SUPPLY if not bare.lacks(name)] == []
    assert (bare.link, bare.images, bare.price, bare.condition, bare.faults) == ("", [], "", "", [])


def test_a_full_listing_lacks_only_what_nobody_gave(make: Make, shop: Shop) -> None:
    item = listing(make(images=["a/1 b.jpg", "https://x.example/2.jpg"]), shop)
    assert [name for name in SUPPLY if item.lacks(name)] == ["gender", "size"]
    assert item.images == ["https://cdn.example/photos/a/1%20b.jpg", "https://x.example/2.jpg"]
    assert (item.link, item.availability) == ("https://shop.example/p/tee-1", "in_stock")


def test_people_win_over_photos_and_overrides_over_the_manifest(make: Make, shop: Shop) -> None:
    seen = {"colour": Value("navy", 0.9, "pixels")}
    told = {"colour": Value("teal", 1.0, "override")}
    assert listing(make(attributes=seen, fields={"color": "Midnight"}), shop).colour == "Midnight"
    assert listing(make(attributes=told, fields={"color": "Midnight"}), shop).colour == "teal"
    assert listing(make(attributes=seen, fields={"currency": "SEK"}), Shop(currency="EUR")).currency == "SEK"


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"price": "€ 29,90"}, "price"),
        ({"price": "-1"}, "price"),
        ({"gtin": "4006381333932"}, "gtin"),
        ({"availability": "soon"}, "availability"),
        ({"currency": "Euro"}, "currency"),
        ({"link": "shop.example/a"}, "link"),
        ({"link": "javascript:alert(1)"}, "link"),
        ({"age_group": "grown-up"}, "age_group"),
    ],
)
def test_values_that_cannot_be_right_are_left_out_and_named(make: Make, fields: dict[str, str], column: str) -> None:
    item = listing(make(fields=fields), Shop())
    assert item.lacks("gtin or mpn" if column == "gtin" else column)
    assert [name for name, _ in item.faults] == [column]


def test_price_with_its_currency_and_gender_by_other_words(make: Make) -> None:
    item = listing(make(fields={"price": "68 usd", "gender": "Women's"}), Shop(currency="EUR"))
    assert (item.price, item.currency, item.gender) == ("68", "USD", "female")


def test_handles_depend_on_the_id_alone_and_never_meet() -> None:
    assert handle_of("mp07-black") == "mp07-black"
    ids = ["MP07-Black", "mp07 black", "mp07_black", "mp07--black", "साड़ी", "साडी", "Ä", "A", "-", ""]
    handles = [handle_of(sku) for sku in ids]
    assert len({*handles, "mp07-black"}) == len(ids) + 1
    assert all(h == h.lower() and h.isascii() and not h.startswith("-") for h in handles)
