"""Copy, field by field: ask the model, check, ask again with the complaint, and else let the template write the field.

Refused items of a list are left out if enough items remain; after the second answer refused sentences of a description
too. The remaining text is the model's and has passed the check.
"""

import html
import json
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from skufp.catalogue.checker import Checker
from skufp.catalogue.facts import Facts
from skufp.catalogue.language_model import LanguageModel, ModelError
from skufp.catalogue.metadata import FIELDS, ProductCopy
from skufp.catalogue.prompt import Prompts, known_of, load_prompts
from skufp.catalogue.template import Template
from skufp.errors import UserError

MODEL, TEMPLATE = "model", "template"
VERSION = 2  # raise it when the copy of any facts and answers changes
_UNANSWERED = ("down", "slow", "limit", "server", "refused")
_REFUSED = "the language model said what the facts do not hold"
_UNUSABLE = "the language model's answer could not be used"
_WHY = dict.fromkeys(_UNANSWERED, "the language model did not answer")


@dataclass(frozen=True)
class Written:
    """One product's copy, the writer of each field ("model" or "template"), and the reasons for the template."""

    sku_id: str
    copy: ProductCopy
    written_by: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)


class CopyWriter:
    """Writes copy with a language model and a template, or (``model`` null) with the template alone.

    Safe for concurrent threads; a product's fields are requested one after the other, so each thread has one open
    request. After ``patience`` unanswered fields in a row, writing stops with a UserError, so that a catalogue is not
    filled with template copy.
    """

    def __init__(
        self,
        template: Template,
        model: LanguageModel | None = None,
        checker: Checker | None = None,
        prompts: Prompts | None = None,
        tone: str = "neutral",
        language: str = "en",
        patience: int = 10,
    ) -> None:
        self.template, self.model = template, model
        self.tone, self.language = tone, language
        if model is not None:
            self.checker = checker or Checker(language)
            self.prompts = prompts or load_prompts(language)
        self.patience = patience
        self._unanswered = 0
        self._lock = threading.Lock()

    @property
    def identity(self) -> dict[str, Any]:
        """All inputs of the copy besides the facts, as JSON, for cache keys; concurrency is not one."""
        identity: dict[str, Any] = {"version": VERSION, "template": self.template.identity}
        if self.model is not None:
            identity |= {"checker": self.checker.identity, "prompts": self.prompts.fingerprint}
            identity |= {"language": self.language, "tone": self.tone, "model": self.model.identity}
        return identity

    def write(self, facts: Facts) -> Written:
        """Return the copy of one product."""
        facts = _unescaped(facts)
        values: dict[str, Any] = {}
        written_by, notes = {}, {}
        for name in FIELDS:
            value, note = (None, "") if self.model is None else self._asked(name, facts)
            written_by[name] = TEMPLATE if value is None else MODEL
            values[name] = self.template.field(name, facts) if value is None else value
            if note:
                notes[name] = note
        return Written(facts.sku_id, ProductCopy(**values), written_by, notes)

    def _asked(self, name: str, facts: Facts) -> tuple[Any, str]:
        """Return the model's field and "", or None and the reason why neither of its answers could be used."""
        assert self.model is not None
        known = {**known_of(facts, self.template, name), "tone": self.tone, "language": self.language}
        parts = self.template.parts(name, facts)
        prompt, left, room = self.prompts.fields[name], None, 1.0
        answer = complaint = note = ""
        for attempt in range(2):
            messages = prompt.messages(known, answer, complaint)
            try:
                value = self.template.styled(name, self.model.ask(name, messages, parts, room, attempt))
            except ModelError as error:
                self._count(error)
                answer, complaint = "", str(error)
                note = f"{_WHY.get(error.kind, _UNUSABLE)}: {error}"
                if error.kind in _UNANSWERED:  # it was tried again already
                    break
                room = 2.0 if error.kind == "length" else room
                continue
            self._count(None)
            problems = self.checker.check(name, value, facts)
            if not problems:
                return value, ""
            spared = self.checker.spared(name, value, facts)
            left = left if spared is None else spared
            if isinstance(left, list):
                break
            answer = json.dumps({name: value}, ensure_ascii=False)
            complaint = "; ".join(dict.fromkeys(str(problem) for problem in problems[:5]))
            note = f"{_REFUSED}: {complaint}"
        return left, note if left is None else ""

    def _count(self, error: ModelError | None) -> None:
        with self._lock:
            self._unanswered = self._unanswered + 1 if error is not None and error.kind in _UNANSWERED else 0
            if self._unanswered >= self.patience and self.model is not None:
                raise UserError(
                    f"{self.model.base_url} left {self._unanswered} requests in a row unanswered; the last: {error}."
                    " Start its server again and repeat the command: it goes on where it stopped. Or use llm=template"
                ) from error


def _unescaped(facts: Facts) -> Facts:
    """Return the facts with HTML entities as the characters they stand for: manifests say `LumaTech&trade; Tee`."""
    fields = {name: html.unescape(text) for name, text in facts.fields.items()}
    attributes = {name: replace(v, value=html.unescape(v.value)) for name, v in facts.attributes.items()}
    return replace(facts, category=html.unescape(facts.category), attributes=attributes, fields=fields)
