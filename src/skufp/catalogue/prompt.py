"""Prompts are files a shop can edit: `prompts/<language>/<field>.md`, one per field of the copy."""

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
TOLD = ("title", "brand", "material")  # columns of the manifest that a model is told; the checker knows all of them
_HEADING = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)
_FACTS = re.compile(r"\{(facts|sentence|points|words|draft)\}")
_ROLES = ("system", "user", "assistant", "again")


@dataclass(frozen=True)
class Prompt:
    """The turns of one field's request, and what to add to the last when an answer was refused.

    In braces are filled in: {facts}, one `name: value` a line, {sentence}, the same as a phrase, {points}, short
    phrases of the attributes as JSON, {words}, the attributes' values as JSON, {draft}, what the template would write
    (a list with "; " between its items), {tone}, {language} and, under `## again`, {complaint}. Other braces stay as
    they are. What differs between products belongs at the end: servers keep what they have read of a beginning.
    """

    turns: tuple[tuple[str, str], ...]
    again: str

    def messages(self, known: Mapping[str, str], complaint: str = "") -> Messages:
        """Return the chat to send, ``known`` filled in; a ``complaint`` tells what was wrong with the last answer."""
        known = {**known, "complaint": complaint}
        turns = [(role, _filled(text, known)) for role, text in self.turns]
        if complaint:
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n\n{_filled(self.again, known)}")
        return [{"role": role, "content": text} for role, text in turns]


@dataclass(frozen=True)
class Prompts:
    """The prompts of all fields, and a fingerprint of their text for cache keys."""

    fields: dict[str, Prompt]
    fingerprint: str


def load_prompts(language: str = "en", root: str | Path | None = None) -> Prompts:
    """Read the prompts of ``language`` from ``root`` (a shop's own folder) or from the package.

    Raises UserError for a missing file and for one without the turns it needs.
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
    """Return what a prompt of the field ``name`` may say of a product, by the names in braces."""
    draft = template.field(name, facts)
    return {
        "facts": told(facts),
        "sentence": template.sentence(facts),
        "points": json.dumps(template.points(facts), ensure_ascii=False),
        "words": json.dumps(template.words(facts), ensure_ascii=False),
        "draft": draft if isinstance(draft, str) else "; ".join(draft),
    }


def told(facts: Facts) -> str:
    """Return the facts as a model reads them: one `name: value` a line."""
    lines = {"category": facts.category}
    lines |= {name.replace("_", " "): value.value for name, value in facts.attributes.items()}
    lines |= {name: facts.fields[name] for name in TOLD if name in facts.fields}
    return "\n".join(f"{name}: {' '.join(value.split())}" for name, value in lines.items() if value.strip())


def _parsed(text: str, file: Path) -> Prompt:
    _, *parts = _HEADING.split(text)
    turns = [(role, part.strip()) for role, part in zip(parts[::2], parts[1::2], strict=True)]
    if unknown := [role for role, _ in turns if role not in _ROLES]:
        raise UserError(f"{file}: '## {unknown[0]}' is no part of a prompt; use {', '.join('## ' + r for r in _ROLES)}")
    said = [(role, part) for role, part in turns if role != "again"]
    if not said or said[-1][0] != "user" or not _FACTS.search(said[-1][1]):
        raise UserError(f"{file}: the last turn must be a '## user' that holds {{facts}}, {{sentence}}, {{points}}, {{words}} or {{draft}}")
    again = next((part for role, part in turns if role == "again"), "Not right: {complaint}.")
    return Prompt(tuple(said), again)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: known.get(match.group(1), match.group()), text)
