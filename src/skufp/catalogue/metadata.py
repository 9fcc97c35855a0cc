"""Product copy: the schema shared by the language model, the template and every export."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

FIELDS = ("title", "bullet_points", "description", "style_summary", "seo_tags")
LISTS = ("bullet_points", "seo_tags")
_SPACE = re.compile(r"\s+")
_LIST_MARK = re.compile(r"^(?:[-*•–]\s+|\d+[.)]\s+|#+)")


def _lower_case_and_unique(tags: list[str]) -> list[str]:
    if loud := [tag for tag in tags if tag != tag.lower()]:
        raise ValueError(f"must be lower case: {', '.join(loud)}")
    if twice := sorted({tag for tag in tags if tags.count(tag) > 1}):
        raise ValueError(f"must be unique: {', '.join(twice)}")
    return tags


_Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=150)]
_Bullet = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Bullets = Annotated[list[_Bullet], Field(min_length=3, max_length=6)]
_Description = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5000)]
_Summary = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
_Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
_Tags = Annotated[list[_Tag], Field(min_length=5, max_length=15), AfterValidator(_lower_case_and_unique)]


class ProductCopy(BaseModel):
    """The published copy of a product. Lengths are in characters; tags are unique and lower case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: _Title
    bullet_points: _Bullets
    description: _Description
    style_summary: _Summary
    seo_tags: _Tags


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "title": TypeAdapter(_Title),
    "bullet_points": TypeAdapter(_Bullets),
    "description": TypeAdapter(_Description),
    "style_summary": TypeAdapter(_Summary),
    "seo_tags": TypeAdapter(_Tags),
}

# Models are asked for less than may be published, since small models use the full length.
_ASKED: dict[str, dict[str, Any]] = {
    "title": {"type": "string", "minLength": 3, "maxLength": 100},
    "bullet_points": {
        "type": "array", "minItems": 3, "maxItems": 5, "items": {"type": "string", "minLength": 3, "maxLength": 100},
    },
    "description": {"type": "string", "minLength": 30, "maxLength": 400},
    "style_summary": {"type": "string", "minLength": 10, "maxLength": 160},
    "seo_tags": {
        "type": "array", "minItems": 7, "maxItems": 10, "items": {"type": "string", "minLength": 3, "maxLength": 40},
    },
}  # fmt: skip


def answer_schema(name: str, parts: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON schema of an answer that holds the one field ``name``.

    With ``parts`` a list is an object with one item per part: a small model then keeps to the fact that names the item.
    """
    asked = _object(dict.fromkeys(parts, _ASKED[name]["items"])) if parts else _ASKED[name]
    return _object({name: asked})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def valid_field(name: str, value: Any) -> Any:
    """Return ``value`` validated as the field ``name``; ValueError, in one line, if the schema forbids it."""
    try:
        return _ADAPTERS[name].validate_python(value, strict=True)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            place = "".join(f" {part + 1}" for part in problem["loc"] if isinstance(part, int))
            problems.append(f"{name}{place}: {problem['msg'].removeprefix('Value error, ')}")
        raise ValueError("; ".join(problems)) from error


def tidied(name: str, value: Any) -> Any:
    """Correct the form, not the content: spaces, list marks, upper and lower case, repeated tags and bullets.

    A list may come as an object of items. Anything but a string or a list of strings is returned unchanged, and
    valid_field refuses it.
    """
    if isinstance(value, str) and name not in LISTS:
        return _SPACE.sub(" ", value).strip()
    if isinstance(value, dict) and name in LISTS:
        value = list(value.values())
    if not (isinstance(value, list) and name in LISTS and all(isinstance(item, str) for item in value)):
        return value
    items = [_LIST_MARK.sub("", _SPACE.sub(" ", item).strip()).strip() for item in value]
    if name == "seo_tags":
        items = [item.lower().rstrip(".,;") for item in items]
    else:
        items = [item[:1].upper() + item[1:].rstrip(".,;") for item in items]
    return list(dict.fromkeys(item for item in items if item))
