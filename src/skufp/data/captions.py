"""The texts of a photo: template prompts from its annotation, and rich captions from the labels of its SKU.

A template names the category and the view; a rich caption lists the SKU's labels, and so may identify one SKU.
"""

import re
from collections.abc import Mapping

from skufp.artifacts.products import same

DOMAIN = {"query": "user", "catalog": "catalog"}
OCCLUSION = {2: "partially occluded ", 3: "heavily occluded "}
VIEWPOINT = {2: "from the front", 3: "from the side or back"}

TEMPLATE, ATTRIBUTES = "template", "attributes"
TEXTS = (TEMPLATE, ATTRIBUTES)  # data.text

# The attributes in captions, with alternative column names; _, - and capitals make no difference.
ALSO = {
    "colour": ("color", "main colour", "main color"), "second colour": ("second color",),
    "sleeve": ("sleeves", "sleeve length"), "neckline": ("neck",), "pattern": ("print",),
    "colour block": ("color block",), "fabric": ("material", "composition"), "graphic": (), "trim": (), "fit": (),
    "length": (), "collar": (), "closure": ("fastening",), "detail": (), "pockets": (),
    "belt colour": ("belt color",), "hem": (), "back panel": (), "rise": ("waist rise",), "occasion": (),
    "gender": ("target gender",),
}  # fmt: skip
# Phrases of attributes after the garment; the least informative come last, where a short text tower truncates.
AFTER = {
    "pattern": "{}", "colour block": "{} colour block", "fabric": "{}", "graphic": "{} graphic", "trim": "{} trim",
    "fit": "{} fit", "length": "{} length", "collar": "{} collar", "closure": "{} closure", "detail": "{}",
    "pockets": "{} pockets", "belt colour": "{} belt", "hem": "{} hem", "back panel": "{} back panel",
    "rise": "{} rise", "occasion": "{}", "gender": "for {}",
}  # fmt: skip
NOTHING = {"", "none", "no", "n/a", "na", "-", "unknown"}
YES = "yes"  # a ticked box: the garment has the attribute, its value is unknown


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

    Other columns, such as titles and prices, are ignored. Of several columns for one attribute the first in ALSO
    counts.
    """
    columns = {same(name): same(value) for name, value in fields.items()}
    found = {}
    for name, others in ALSO.items():
        values = [columns[column] for column in (name, *others) if columns.get(column, "") not in NOTHING]
        if values:
            found[name] = values[0]
    return found


def rich_caption(category: str, fields: Mapping[str, str]) -> str:
    """Return a caption of a SKU's attributes, "" where ``fields`` hold none; without title and view.

    Example: "navy short sleeve crew-neck T-shirt, solid, cotton".
    """
    said = attributes_of(fields)
    if not said:
        return ""
    before = [_colours(said), _sleeve(said.get("sleeve", ""), category), _neckline(said.get("neckline", ""))]
    after = [_with_noun(said[name], phrase) for name, phrase in AFTER.items() if name in said]
    return ", ".join(part for part in (" ".join(filter(None, [*before, category or "garment"])), *after) if part)


def training_text(row: Mapping[str, str], kind: str) -> str:
    """Return the training text of a photo's ``row``; its template where it has no rich caption."""
    return (row.get("rich_text", "") if kind == ATTRIBUTES else "") or row["text"]


def _colours(attributes: Mapping[str, str]) -> str:
    names = (attributes.get(name, YES) for name in ("colour", "second colour"))
    return " and ".join(dict.fromkeys(name for name in names if name != YES))


def _sleeve(value: str, category: str) -> str:
    """Return the sleeve in words, without words that are in the category already ("short sleeve top")."""
    known = set(category.casefold().split()) if "sleeve" in category.casefold() else set()
    own = " ".join(word for word in value.split() if word not in known and word != YES)
    return own if not own or re.search(r"sleeve|strap", own) else f"{own} sleeve"


def _neckline(value: str) -> str:
    if value in ("", YES) or re.search(r"neck|shoulder|hood|collar", value):
        return "" if value == YES else re.sub(r"^v(?=[ -])", "V", value)
    return f"{value.upper() if len(value) == 1 else value}-neck"


def _with_noun(value: str, phrase: str) -> str:
    """Put ``value`` into ``phrase``: "cotton", "slim fit"; the noun is not repeated."""
    noun = phrase.replace("{}", "").strip()
    if value == YES:
        return noun
    return value if noun and value.endswith(noun) else phrase.format(value)
