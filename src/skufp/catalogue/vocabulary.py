"""The closed vocabulary: the attributes of each category, their values, and other spellings."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skufp.catalogue.given_lists import check_keys, lookup, named, plain, prompts, refuse_ambiguous, text, texts
from skufp.errors import UserError, nearest

CATEGORY = "category"  # the attribute that every product has: one of the vocabulary's categories
_TOP = ("attributes", "categories", "category_prompts")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou](?!ni))")  # an orange top, but a unisex one


@dataclass(frozen=True)
class Term:
    """One value of an attribute.

    ``words`` name it in prompts, ``also`` are other spellings, ``shopify`` is its name in Shopify's product taxonomy
    (None: none, or not decided), ``rgb`` are sRGB examples of a colour.
    """

    name: str
    words: tuple[str, ...]
    also: tuple[str, ...] = ()
    shopify: str | None = None
    rgb: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Attribute:
    """One list of values; ``key`` is unique, ``name`` is not: dresses and trousers have different lengths.

    ``shopify`` and ``google`` are the attribute's names in Shopify's taxonomy and in Google's feed, None for none.
    """

    key: str
    name: str
    terms: dict[str, Term]
    prompts: tuple[str, ...]
    also: tuple[str, ...] = ()
    shopify: str | None = None
    google: str | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The names of its values, in order: the columns [K] of every score."""
        return tuple(self.terms)

    def columns(self, names: Iterable[str]) -> list[str]:
        """Return the manifest's columns that hold this attribute, by its name or another spelling."""
        own = {plain(name) for name in (self.name, *self.also)}
        return [name for name in names if plain(name) in own]

    def resolve(self, label: str) -> str | None:
        """Return the value that ``label`` spells, by name or other spelling, in any case; None if unknown."""
        return lookup((term.name, *term.also) for term in self.terms.values()).get(plain(label))

    def check(self, label: str) -> str:
        """Return the value that ``label`` spells; UserError with the nearest value if unknown."""
        if (value := self.resolve(label)) is None:
            raise UserError(f"{self.name} has no value '{label}'.{nearest(plain(label), self.values)}")
        return value


@dataclass(frozen=True)
class Taxon:
    """A category of a product taxonomy: its id, and its path with levels separated by `` > ``."""

    id: str
    path: str


@dataclass(frozen=True)
class Category:
    """A kind of garment.

    ``words`` are nouns for it, the first for copy; ``attributes`` by name. ``also`` maps other names to the attributes
    that they imply ("sling dress": {"sleeve": "straps"}). ``google`` and ``shopify`` are its entries in their product
    taxonomies, None if none fits. ``plural``: its words are plural ("trousers").
    """

    name: str
    words: tuple[str, ...]
    attributes: dict[str, Attribute]
    also: dict[str, dict[str, str]] = field(default_factory=dict)
    google: Taxon | None = None
    shopify: Taxon | None = None
    plural: bool = False

    def attribute(self, name: str) -> Attribute:
        """Return the attribute of that name or other name; UserError if the category has none."""
        found = lookup((a.name, *a.also) for a in self.attributes.values()).get(plain(name))
        if found is None:
            raise UserError(f"category '{self.name}' has no attribute '{name}'.{nearest(name, self.attributes)}")
        return self.attributes[found]


@dataclass(frozen=True)
class Vocabulary:
    """All categories by name and all attributes by key."""

    categories: dict[str, Category]
    attributes: dict[str, Attribute]
    category_prompts: tuple[str, ...]

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Vocabulary":
        """Make a vocabulary from plain dicts in the form of conf/vocabulary/*.lists.yml.

        Raises UserError, with the place and the nearest valid name, for unknown keys, values of the wrong type, unknown
        attributes, and ambiguous names.
        """
        check_keys(spec, _TOP, "vocabulary")
        attributes = {key: _attribute(key, value) for key, value in named(spec, "attributes", "vocabulary").items()}
        categories = {
            name: _category(name, value, attributes) for name, value in named(spec, "categories", "vocabulary").items()
        }
        refuse_ambiguous("vocabulary.categories", ((c.name, *c.also) for c in categories.values()))
        templates = prompts(spec.get("category_prompts", ["{category}"]), ("category",), "vocabulary.category_prompts")
        return cls(categories, attributes, templates)

    def resolve(self, label: str) -> tuple[Category, dict[str, str]] | None:
        """Return the category that ``label`` names, and the attributes that it implies; None if unknown."""
        found = lookup((c.name, *c.also) for c in self.categories.values()).get(plain(label))
        if found is None:
            return None
        category = self.categories[found]
        implied = next((value for name, value in category.also.items() if plain(name) == plain(label)), {})
        return category, dict(implied)

    def category(self, name: str) -> Category:
        """Return the category of that name or other name; UserError with the nearest name if unknown."""
        if (found := self.resolve(name)) is None:
            raise UserError(f"there is no category '{name}' in the vocabulary.{nearest(name, self.categories)}")
        return found[0]

    def category_ensemble(self) -> dict[str, list[str]]:
        """Return the prompts of every category."""
        return {
            c.name: _distinct(_say(p, c.plural, category=word) for p in self.category_prompts for word in c.words)
            for c in self.categories.values()
        }


def ensemble(attribute: Attribute, category: Category) -> dict[str, list[str]]:
    """Return the prompts of every value of ``attribute`` for a garment of ``category``, in the order of its values."""
    noun, plural = category.words[0], category.plural
    return {
        term.name: _distinct(_say(p, plural, value=w, category=noun) for p in attribute.prompts for w in term.words)
        for term in attribute.terms.values()
    }


def _say(template: str, plural: bool, **words: str) -> str:
    """Fill a template, with the right article: a blue top, an orange top, blue trousers."""
    if plural:
        template = template.replace("a {value} ", "{value} ").replace("a {category}", "{category}")
    return _ARTICLE.sub(r"\1n ", template.format(**words))


def _attribute(key: str, spec: Any) -> Attribute:
    where = f"vocabulary.attributes.{key}"
    check_keys(spec, ("name", "also", "shopify", "google", "prompts", "values"), where)
    name = text(spec, "name", where) or key
    if name == CATEGORY:
        raise UserError(f"{where}: an attribute cannot be called '{CATEGORY}'; write under vocabulary.categories")
    terms = {value: _term(value, each, where) for value, each in named(spec, "values", where).items()}
    refuse_ambiguous(where, ((t.name, *t.also) for t in terms.values()))
    templates = prompts(spec.get("prompts", ["{value} {category}"]), ("value", "category"), f"{where}.prompts")
    also = texts(spec, "also", where)
    return Attribute(key, name, terms, templates, also, text(spec, "shopify", where), text(spec, "google", where))


def _term(name: str, spec: Any, where: str) -> Term:
    where = f"{where}.values.{name}"
    check_keys(spec, ("words", "also", "shopify", "rgb"), where)
    rgb = spec.get("rgb") or []
    if not isinstance(rgb, list) or not all(_is_rgb(each) for each in rgb):
        raise UserError(f"{where}.rgb: give a list of colours, each three numbers of 0 to 255, e.g. [[30, 118, 126]]")
    words = texts(spec, "words", where) or (name,)
    colours = tuple((c[0], c[1], c[2]) for c in rgb)
    return Term(name, words, texts(spec, "also", where), text(spec, "shopify", where), colours)


def _is_rgb(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def _category(name: str, spec: Any, attributes: Mapping[str, Attribute]) -> Category:
    where = f"vocabulary.categories.{name}"
    check_keys(spec, ("words", "also", "google", "shopify", "plural", "attributes"), where)
    own: dict[str, Attribute] = {}
    for key in texts(spec, "attributes", where):
        if key not in attributes:
            raise UserError(f"{where}.attributes: there is no attribute '{key}'.{nearest(key, attributes)}")
        if attributes[key].name in own:
            raise UserError(f"{where}.attributes: '{key}' and another are both called '{attributes[key].name}'")
        own[attributes[key].name] = attributes[key]
    refuse_ambiguous(f"{where}.attributes", ((a.name, *a.also) for a in own.values()))
    also = {label: _implied(given, own, f"{where}.also.{label}") for label, given in (spec.get("also") or {}).items()}
    if type(plural := spec.get("plural", False)) is not bool:
        raise UserError(f"{where}.plural: give true or false, not '{plural}'")
    words = texts(spec, "words", where) or (name,)
    return Category(name, words, own, also, _taxon(spec, "google", where), _taxon(spec, "shopify", where), plural)


def _taxon(spec: Mapping[str, Any], key: str, where: str) -> Taxon | None:
    value = spec.get(key)
    if value is None:
        return None
    number, dash, path = value.partition(" - ") if isinstance(value, str) else ("", "", "")
    if not (dash and number.strip() and path.strip()):
        example = "2271 - Apparel & Accessories > Clothing > Dresses"
        raise UserError(f"{where}.{key}: give id and path, e.g. {example}, or null, not '{value}'")
    return Taxon(number.strip(), path.strip())


def _implied(spec: Any, attributes: Mapping[str, Attribute], where: str) -> dict[str, str]:
    """Return the attributes that another name of a category implies; UserError for unknown attributes."""
    check_keys(spec, attributes, where)
    for name, value in spec.items():
        if value not in attributes[name].values:
            raise UserError(f"{where}.{name}: no value '{value}'.{nearest(str(value), attributes[name].values)}")
    return dict(spec)


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
