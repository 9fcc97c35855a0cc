"""What the word index holds of a SKU: its source's columns, its category, and what its pictures are read to say."""

from collections.abc import Iterable, Mapping

from skufp.artifacts.products import same
from skufp.data.captions import NOTHING, YES

# Weights of a field that names a thing, of one that tells of it, and of an attribute read off a photo. Of 2, 3, 5 and 8
# for the first, 5 is where labels and simulated texts of luma's train and dev stop gaining.
NAMED, TOLD, READ = 5, 1, 2
SENTENCE = 12  # words: longer fields tell, shorter ones name
PICTURES = ("probe", "prompt", "pixels")  # sources of attributes that were read off photos
ADDRESSES = ("http://", "https://", "images/", "www.")


def texts_of(
    category: str, fields: Mapping[str, str], attributes: Iterable[Mapping[str, object]] = ()
) -> list[tuple[str, int]]:
    """Return the texts of a SKU with the weight of each.

    Fields that say nothing ("none", "no") and addresses of pages and pictures are left out; a ticked box counts by its
    name ("pockets": yes). ``attributes`` are rows with name, value, source and confidence, as the SKU table has them;
    one of confidence 0 says nothing.
    """
    values = dict.fromkeys([category, *(_said(name, value) for name, value in fields.items())])
    found = [(text, TOLD if len(text.split()) > SENTENCE else NAMED) for text in values if text]
    known = {same(text) for text in values}
    for each in attributes:
        value = str(each["value"])
        if same(value) not in known and each.get("confidence") != 0:
            found.append((_said(str(each["name"]), value), READ if each["source"] in PICTURES else NAMED))
    return [(text, weight) for text, weight in found if text]


def _said(name: str, value: str) -> str:
    plain = same(value)
    if plain in NOTHING or plain.startswith(ADDRESSES):
        return ""
    return name.replace("_", " ") if plain == YES else value
