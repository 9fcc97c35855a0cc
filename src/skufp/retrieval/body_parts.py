"""The part of the body that a garment is worn on, from its category's name.

English nouns come last, so the last known word decides: a "shirt dress" is a dress, a "dress shirt" a shirt,
"Men/Tops/Jackets" are jackets. A name without a known word has no part.
"""

import re

UPPER, LOWER, OUTER, HEAD, FEET = PARTS = ("upper", "lower", "outer", "head", "feet")
WORDS = {
    (UPPER,): "top tee t-shirt tshirt shirt longsleeve blouse polo tank vest sling camisole cami bodysuit bra jumper"
    " sweater pullover sweatshirt hoodie tunic kurta kurti",
    (
        LOWER,
    ): "bottom trouser pant jean legging tight short skirt skort chino jogger sweatpant trackpant culotte salwar",
    (UPPER, LOWER): "dress gown jumpsuit playsuit romper overall dungaree saree sari lehenga suit anarkali kimono"
    " yukata kaftan abaya",
    (
        OUTER,
    ): "outwear outerwear jacket coat overcoat parka trench blazer gilet waistcoat anorak windbreaker poncho cape"
    " cardigan",
    (HEAD,): "hat cap beanie headwear",
    (FEET,): "shoe boot sneaker trainer sandal heel loafer footwear",
}
ONLY_PLURAL = {"short", "pant", "tight", "overall"}  # a "short sleeve top" is not a pair of shorts
PART_OF = {word: frozenset(parts) for parts, words in WORDS.items() for word in words.split()}


def worn_on(category: str) -> frozenset[str]:
    """Return the parts of the body (of PARTS) that ``category`` covers; a dress covers two; empty where unknown."""
    found = (_part(word) for word in reversed(re.findall(r"[^\W\d_]+", category.casefold())))
    return next((part for part in found if part), frozenset())


def _part(word: str) -> frozenset[str]:
    """Look up a word, or the singular of a plural."""
    if word in PART_OF and word not in ONLY_PLURAL:
        return PART_OF[word]
    singular = [word.removesuffix(end) for end in ("s", "es") if word.endswith(end)]
    return next((PART_OF[each] for each in singular if each in PART_OF), frozenset())
