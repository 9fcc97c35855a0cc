"""What is said of a photo: template prompts from its annotation, and rich captions from labels of its SKU.

A template tells a category and how it is seen; a rich caption tells what a SKU's own labels say, and so maybe one SKU.
"""

import re
from collections.abc import Mapping

from skufp.artifacts.products import same

DOMAIN = {"query": "user", "catalog": "catalog"}
OCCLUSION = {2: "partially occluded ", 3: "heavily occluded "}
VIEWPOINT = {2: "from the front", 3: "from the side or back"}

TEMPLATE, ATTRIBUTES = "template", "attributes"
TEXTS = (TEMPLATE, ATTRIBUTES)  # data.text

# The attributes that are told, and the other names that columns have for them; _, - and capitals make no difference.
ALSO = {
    "colour": ("color", "main colour", "main color"), "second colour": ("second color",),
    "sleeve": ("sleeves", "sleeve length"), "neckline": ("neck",), "pattern": ("print",),
    "colour block": ("color block",), "fabric": ("material", "composition"), "graphic": (), "trim": (), "fit": (),
    "length": (), "collar": (), "closure": ("fastening",), "detail": (), "pockets": (),
    "belt colour": ("belt color",), "hem": (), "back panel": (), "rise": ("waist rise",), "occasion": (),
    "gender": ("target gender",),
}  # fmt: skip
# How those are said that follow the garment, in this order: what a short text tower cuts off is the least telling.
AFTER = {
    "pattern": "{}", "colour block": "{} colour block", "fabric": "{}", "graphic": "{} graphic", "trim": "{} trim",
    "fit": "{} fit", "length": "{} length", "collar": "{} collar", "closure": "{} closure", "detail": "{}",
    "pockets": "{} pockets", "belt colour": "{} belt", "hem": "{} hem", "back panel": "{} back panel",
    "rise": "{} rise", "occasion": "{}", "gender": "for {}",
}  # fmt: skip
NOTHING = {"", "none", "no", "n/a", "na", "-", "unknown"}
YES = "yes"  # a ticked box says that there is one, not which


def template_caption(domain: str, category: str, occlusion: int, viewpoint: int) -> str:
    """Return the prompt of one crop.

    Example: "A user photo of a person wearing a heavily occluded short sleeve top from the side or back."
    """
    garment = f"{OCCLUSION.get(occlusion, '')}{category}"
    article = "an" if garment[:1].lower() in "aeiou" else "a"
    photo = f"A {DOMAIN[domain]} photo of"
    if viewpoint == 1:
        return f"{photo} {article} {garment}, not worn."
    seen = f" {VIEWPOINT[viewpoint]}" if viewpoint in VIEWPOINT else ""
    return f"{photo} a person wearing {article} {garment}{seen}."


def attributes_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes among a SKU's ``fields``, by ALSO's standard names; values in lower case.

    Titles, prices and whatever else a source says are none. Of several columns for one attribute the first that ALSO
    names counts.
    """
    columns = {same(name): same(value) for name, value in fields.items()}
    found = {}
    for name, others in ALSO.items():
        values = [columns[column] for column in (name, *others) if columns.get(column, "") not in NOTHING]
        if values:
            found[name] = values[0]
    return found


def rich_caption(category: str, fields: Mapping[str, str]) -> str:
    """Return what the labels of a SKU say, "" where ``fields`` hold no attribute; no title, no view, no photo.

    Example: "navy short sleeve crew-neck T-shirt, solid, cotton".
    """
    said = attributes_of(fields)
    if not said:
        return ""
    before = [_colours(said), _sleeve(said.get("sleeve", ""), category), _neckline(said.get("neckline", ""))]
    after = [_with_noun(said[name], phrase) for name, phrase in AFTER.items() if name in said]
    return ", ".join(part for part in (" ".join(filter(None, [*before, category or "garment"])), *after) if part)


def training_text(row: Mapping[str, str], kind: str) -> str:
    """Return the text that a photo's ``row`` is learnt with; its template where it has no rich caption."""
    return (row.get("rich_text", "") if kind == ATTRIBUTES else "") or row["text"]


def _colours(said: Mapping[str, str]) -> str:
    names = (said.get(name, YES) for name in ("colour", "second colour"))
    return " and ".join(dict.fromkeys(name for name in names if name != YES))


def _sleeve(value: str, category: str) -> str:
    """Say the sleeve, less what the category says of it already ("short sleeve top")."""
    known = set(category.casefold().split()) if "sleeve" in category.casefold() else set()
    own = " ".join(word for word in value.split() if word not in known and word != YES)
    return own if not own or re.search(r"sleeve|strap", own) else f"{own} sleeve"


def _neckline(value: str) -> str:
    if value in ("", YES) or re.search(r"neck|shoulder|hood|collar", value):
        return "" if value == YES else re.sub(r"^v(?=[ -])", "V", value)
    return f"{value.upper() if len(value) == 1 else value}-neck"


def _with_noun(value: str, phrase: str) -> str:
    """Put ``value`` into ``phrase``: "cotton", "slim fit"; a noun that it brings itself is not said again."""
    noun = phrase.replace("{}", "").strip()
    if value == YES:
        return noun
    return value if noun and value.endswith(noun) else phrase.format(value)
