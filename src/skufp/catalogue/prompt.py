"""Prompts, in files that a shop can edit: `prompts/<language>/<field>.md`, one per field of the copy."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skufp.catalogue.facts import Facts
from skufp.catalogue.lexicon import HERE, fingerprint, language_folder
from skufp.catalogue.metadata import FIELDS
from skufp.catalogue.template import Template
from skufp.errors import UserError

Messages = list[dict[str, str]]
PROMPTED = ("title", "brand", "material")  # columns of the manifest in prompts; the checker uses all columns
_HEADING = re.compile(r"^## (\w.*?)[ \t]*$", re.MULTILINE)
_FACTS = re.compile(r"\{(facts|sentence|points|words|draft)\}")
_ROLES = ("system", "user", "assistant", "again")


@dataclass(frozen=True)
class Turn:
    """A turn of the chat; ``condition``: ("", ""), or with or without and a column or attribute."""

    role: str
    text: str
    condition: tuple[str, str] = ("", "")

    def fits(self, known: Mapping[str, str]) -> bool:
        """Return whether the turn applies to a product with these known values; {names} lists their names."""
        word, name = self.condition
        return not word or (name in known["names"].split()) == (word == "with")


@dataclass(frozen=True)
class Prompt:
    """The turns of one field's request, and the turn after a refused answer.

    Names in braces are filled in: {facts}, one `name: value` per line; {sentence}, the same as a phrase; {points},
    short phrases of the attributes as JSON; {words}, the attributes' values as JSON; {draft}, the template's text (a
    list with "; " between its items); {tone}, {language} and, under `## again`, {complaint}. Other braces are kept.
    Put the parts that differ between products at the end: servers cache a common beginning. An example under `## user
    with title` (or `without`) is only for products with a title (or without): a small model copies an example, so the
    example should hold no kind of fact that the product lacks.
    """

    turns: tuple["Turn", ...]
    again: str

    def messages(self, known: Mapping[str, str], answer: str = "", complaint: str = "") -> Messages:
        """Return the chat to send, ``known`` filled in; a ``complaint`` is about the last ``answer``."""
        known = {**known, "complaint": complaint}
        turns = [(turn.role, _filled(turn.text, known)) for turn in self.turns if turn.fits(known)]
        if complaint:
            turns += [("assistant", answer)] if answer else []
            turns += [("user", _filled(self.again, known))]
        return [{"role": role, "content": text} for role, text in turns]


@dataclass(frozen=True)
class Prompts:
    """The prompts of all fields, and a fingerprint of their text for cache keys."""

    fields: dict[str, Prompt]
    fingerprint: str


def load_prompts(language: str = "en", root: str | Path | None = None) -> Prompts:
    """Read the prompts of ``language`` from ``root`` (a shop's own folder) or from the package.

    Raises UserError for a missing file and for a file without the required turns.
    """
    if root is not None and not Path(root).is_dir():
        raise UserError(f"llm.prompts={root}: there is no such folder (copy {HERE / 'prompts'} and edit it)")
    folder = language_folder(Path(root) if root is not None else HERE / "prompts", language, "prompts")
    texts = {}
    for name in FIELDS:
        file = folder / f"{name}.md"
        if not file.is_file():
            raise UserError(f"{file}: there is no such file; prompts are {', '.join(f'{n}.md' for n in FIELDS)}")
        texts[name] = file.read_text(encoding="utf-8")
    mark = fingerprint(*(folder / f"{name}.md" for name in FIELDS))
    return Prompts({name: _parsed(text, folder / f"{name}.md") for name, text in texts.items()}, mark)


def known_of(facts: Facts, template: Template, name: str) -> dict[str, str]:
    """Return a product's values for a prompt of the field ``name``, by the names in braces."""
    draft = template.field(name, facts)
    return {
        "facts": listed(facts),
        "sentence": template.sentence(facts),
        "points": json.dumps(template.points(facts), ensure_ascii=False),
        "words": json.dumps(template.words(facts), ensure_ascii=False),
        "draft": draft if isinstance(draft, str) else "; ".join(draft),
        "names": " ".join([*facts.attributes, *facts.fields, *(["title"] if template.named(facts) else [])]),
    }


def listed(facts: Facts) -> str:
    """Return the facts for a prompt: one `name: value` per line."""
    lines = {"category": facts.category}
    lines |= {name.replace("_", " "): value.value for name, value in facts.attributes.items()}
    lines |= {name: facts.fields[name] for name in PROMPTED if name in facts.fields}
    return "\n".join(f"{name}: {' '.join(value.split())}" for name, value in lines.items() if value.strip())


def _parsed(text: str, file: Path) -> Prompt:
    _, *parts = _HEADING.split(text)
    turns: list[Turn] = []
    again = "Not right: {complaint}."
    for heading, part in zip(parts[::2], parts[1::2], strict=True):
        role, *condition = heading.split()
        if role not in _ROLES or (condition and (len(condition) != 2 or condition[0] not in ("with", "without"))):
            known = ", ".join("## " + r for r in _ROLES)
            raise UserError(f"{file}: '## {heading}' is no part of a prompt; use {known}, or e.g. ## user with title")
        if role == "again":
            again = part.strip()
            continue
        if role == "assistant" and not condition and turns:  # an answer goes with its question
            condition = list(turns[-1].condition)
        word, name = condition or ("", "")
        turns.append(Turn(role, part.strip(), (word, name)))
    if not turns or turns[-1].role != "user" or turns[-1].condition[0] or not _FACTS.search(turns[-1].text):
        raise UserError(
            f"{file}: the last turn must be a '## user' that holds {{facts}}, {{sentence}}, {{points}}, {{words}}"
            " or {draft}"
        )
    return Prompt(tuple(turns), again)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: known.get(match.group(1), match.group()), text)
