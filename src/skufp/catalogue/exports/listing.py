"""A product's listing: the values that sales channels require, from manifest, attributes or the shop's settings.

Nothing is invented: unknown values are empty, and SUPPLY tells the shop how to supply them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from skufp.catalogue.described import Described
from skufp.catalogue.exports.cells import clean
from skufp.catalogue.facts import MANIFEST, OVERRIDE
from skufp.catalogue.metadata import ProductCopy
from skufp.schema.catalogue import Shop as ShopSettings

AVAILABILITIES = ("in_stock", "out_of_stock", "preorder", "backorder")
CONDITIONS = ("new", "refurbished", "used")
AGE_GROUPS = ("newborn", "infant", "toddler", "kids", "adult")
GENDERS = ("male", "female", "unisex")
_GENDER_WORDS = {
    "men": "male", "man": "male", "mens": "male", "men's": "male",
    "women": "female", "woman": "female", "womens": "female", "women's": "female",
}  # fmt: skip
_PRICE = re.compile(r"(\d+(?:\.\d{1,3})?)\s*([A-Za-z]{3})?")

SUPPLY = {
    "link": "a column 'link', or shop.link=https://…/{handle}",
    "image": "photo URLs as images, or shop.image_url=https://… that the photos' paths are below",
    "availability": f"a column 'availability', or shop.availability= one of {', '.join(AVAILABILITIES)}",
    "price": "a column 'price' with a plain number (29.90)",
    "currency": "a column 'currency', or shop.currency=EUR",
    "brand": "a column 'brand', or shop.brand=",
    "gtin or mpn": "a column 'gtin' or 'mpn'; for goods that have neither, a column 'identifier_exists' with 'no'",
    "colour": "a column 'colour', or an override",
    "gender": f"a column 'gender' ({', '.join(GENDERS)}), or an override",
    "age_group": f"a column 'age_group', or shop.age_group= one of {', '.join(AGE_GROUPS)}",
    "size": "a column 'size'",
    "shopify_category": "a vocabulary that maps the category to Shopify's taxonomy",
    "google_category": "a vocabulary that maps the category to Google's taxonomy",
}


@dataclass(frozen=True)
class Taxon:
    """A category in Shopify's and in Google's product taxonomy: its id, or its path with `` > `` between levels."""

    shopify: str = ""
    google: str = ""


@dataclass
class Shop(ShopSettings):
    """The values common to all products of a shop, and ``taxons``, the taxonomy entries of the categories."""

    taxons: Mapping[str, Taxon] = field(default_factory=dict)


@dataclass
class Listing:
    """A described product with the values that sales channels require; "" where unknown.

    ``faults`` are (column, reason) of manifest values that are invalid and left out.
    """

    product: Described
    copy: ProductCopy
    handle: str
    link: str = ""
    images: list[str] = field(default_factory=list)
    price: str = ""
    currency: str = ""
    availability: str = ""
    condition: str = ""
    brand: str = ""
    gtin: str = ""
    mpn: str = ""
    identifier_exists: str = ""
    group: str = ""
    colour: str = ""
    fabric: str = ""
    pattern: str = ""
    size: str = ""
    gender: str = ""
    age_group: str = ""
    taxon: Taxon = field(default_factory=Taxon)
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sku_id(self) -> str:
        """The product's id."""
        return self.product.sku_id

    def lacks(self, name: str) -> bool:
        """Return whether the shop must still supply ``name``, a key of SUPPLY."""
        if name == "gtin or mpn":
            return not (self.gtin or self.mpn or self.identifier_exists == "no")
        values = {"image": self.images, "shopify_category": self.taxon.shopify, "google_category": self.taxon.google}
        return not (values[name] if name in values else getattr(self, name))

    def by_machine(self, name: str) -> bool:
        """Return whether a model or the template wrote the field ``name`` of the copy."""
        return name in self.product.written_by


def listing(product: Described, shop: Shop) -> Listing:
    """Return the listing of a product that has copy."""
    if product.copy is None:
        raise ValueError(f"{product.sku_id} has no copy: {product.error}")
    own = product.facts.fields
    out = Listing(product, product.copy, own.get("handle", "") or handle_of(product.sku_id))
    for name, default, allowed in (
        ("availability", shop.availability, AVAILABILITIES),
        ("condition", shop.condition, CONDITIONS),
        ("age_group", shop.age_group, AGE_GROUPS),
        ("identifier_exists", "", ("yes", "no")),
    ):
        setattr(out, name, _one_of(out, name, own.get(name) or default, allowed))
    out.gender = _one_of(out, "gender", _GENDER_WORDS.get((g := _attribute(product, "gender")).lower(), g), GENDERS)
    out.colour, out.pattern = _attribute(product, "colour", "color"), _attribute(product, "pattern")
    out.fabric, out.size = _attribute(product, "fabric", "material"), _attribute(product, "size")
    out.brand, out.mpn = own.get("brand") or own.get("vendor") or shop.brand, own.get("mpn", "")
    out.group, out.taxon = own.get("item_group_id", ""), shop.taxons.get(product.facts.category, Taxon())
    out.gtin = _gtin(out, next((own[name] for name in ("gtin", "ean", "upc", "barcode") if own.get(name)), ""))
    out.price, out.currency = _price(out, own.get("price", ""), own.get("currency") or shop.currency)
    values = {"{handle}": quote(clean(out.handle), safe=""), "{sku}": quote(clean(product.sku_id), safe="")}
    out.link = _address(out, "link", own.get("link") or own.get("url") or _filled(shop.link, values))
    out.images = [url for image in product.images if (url := _image(out, image, shop.image_url))]
    return out


def handle_of(sku_id: str) -> str:
    """Return a product's name in addresses: lower-case letters, digits and hyphens.

    It depends only on the id, so that a product keeps its address when its copy or other products change. A hash keeps
    ids with other characters distinct.
    """
    plain = unicodedata.normalize("NFKD", sku_id).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    digest = hashlib.sha256(sku_id.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return slug if slug == sku_id else f"{slug[:80]}-{digest}".lstrip("-")


def right_gtin(gtin: str) -> bool:
    """Return whether ``gtin`` has 8, 12, 13 or 14 digits and a valid check digit (GS1 General Specifications, 7.9)."""
    if not re.fullmatch(r"[0-9]{8}|[0-9]{12,14}", gtin):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(gtin))) % 10 == 0


def _attribute(product: Described, attribute: str, *other_names: str) -> str:
    """Return an attribute from a person (override, manifest), else from the photos, else ""."""
    seen = product.facts.attributes.get(attribute)
    if seen and seen.source in (OVERRIDE, MANIFEST):
        return seen.value
    columns = [product.facts.fields.get(name, "") for name in (attribute, *other_names)]
    return next(filter(None, columns), seen.value if seen else "")


def _one_of(out: Listing, name: str, value: str, allowed: tuple[str, ...]) -> str:
    word = value.strip().lower().replace(" ", "_")
    if word and word not in allowed:
        out.faults.append((name, f"'{value}' is none of {', '.join(allowed)}"))
    return word if word in allowed else ""


def _gtin(out: Listing, value: str) -> str:
    digits = re.sub(r"[\s-]", "", value)
    if digits and not right_gtin(digits):
        out.faults.append(("gtin", f"'{value}' is no GTIN: 8, 12, 13 or 14 digits of which the last checks the others"))
    return digits if right_gtin(digits) else ""


def _price(out: Listing, value: str, currency: str) -> tuple[str, str]:
    match = _PRICE.fullmatch(value.strip())
    if value and not match:
        out.faults.append(("price", f"'{value}' is not a plain number like 29.90"))
    currency = (match and match[2]) or currency
    if currency and not re.fullmatch(r"[A-Za-z]{3}", currency):
        out.faults.append(("currency", f"'{currency}' is no code like EUR"))
        currency = ""
    return match[1] if match else "", currency.upper()


def _filled(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(name, value)
    return template


def _address(out: Listing, name: str, value: str) -> str:
    if value and not re.match(r"https?://[^\s/]+", value):
        out.faults.append((name, f"'{value}' does not begin with https:// or http://"))
        return ""
    return value.replace(" ", "%20")


def _image(out: Listing, image: str, base: str) -> str:
    if re.match(r"https?://", image):
        return image.replace(" ", "%20")
    return _address(out, "image", f"{base.rstrip('/')}/{quote(clean(image))}") if base else ""
