"""One product's facts in words that fit a language's phrases (template.py): articles, singular and plural, capitals."""

import re
import zlib
from typing import Any

from skufp.catalogue.facts import Facts

SPACE = re.compile(r"\s+")


class SpokenFacts:
    """One product's facts in words that fit into phrases."""

    def __init__(self, facts: Facts, phrases: dict[str, Any]) -> None:
        self.phrases = phrases
        self.sku_id = facts.sku_id
        self.category = one_line(facts.category) or phrases["nameless"]
        self.category = shorten(self.category.lower(), 100)
        title = facts.fields.get("title") or facts.fields.get("name", "")
        self.own_title, self.brand = one_line(title), one_line(facts.fields.get("brand", ""))
        texts = {name: one_line(value.value) for name, value in facts.attributes.items()}
        self.values = {
            name: shorten(value, 60) for name, value in texts.items() if value.lower() not in ("", *phrases["unsaid"])
        }
        self.plural = self.category.split()[-1] in phrases["plurals"]

    def value(self, name: str) -> str:
        """Return an attribute's value as written within a sentence; empty if unknown."""
        return self.values.get(name, "").lower()

    def adjectives(self) -> list[str]:
        """Return the values to put before the noun, without those in the category."""
        names = [name for name in self.phrases["adjectives"] if name in self.values]
        values = dict.fromkeys(self.value(name) for name in names)
        heard = [v for v in values if v not in self.phrases["silent"] and not self._in_category(v)]
        return [self._letters(self.phrases["spoken"].get(v, v)) for v in heard]

    def qualities(self) -> list[str]:
        """Return the values of other attributes to put before the noun in a tag: v-neck, long sleeve."""
        names = [n for n in self.values if "detail" in self.phrases["attributes"].get(n, {})]
        return [self._phrase(n, "{value} " + n).lower() for n in names if not self._in_category(self.value(n))]

    def details(self, articles: bool = True) -> list[str]:
        """Return the parts of the product: necklines, sleeves, closures, each with its article or (titles) without."""
        spoken = []
        for name, value in self.values.items():
            known = self.phrases["attributes"].get(name, {})
            if "detail" not in known or value.lower() in self.phrases["silent"] or self._in_category(value.lower()):
                continue
            pattern = known.get("exact", {}).get(value.lower(), known["detail"])
            spoken.append(self._phrase(name, pattern if articles else pattern.replace("{a} ", "")))
        return spoken

    def bullet(self, name: str) -> str:
        """Return the bullet of an attribute; "Name: value" if the phrases have none."""
        known = self.phrases["attributes"].get(name, {})
        return self._phrase(name, known.get("bullet", f"{name.replace('_', ' ')}: {{value}}"))

    def phrase(self, name: str, form: str) -> str:
        """Return an attribute for a prompt, in the form "phrase" or "word"."""
        known = self.phrases["attributes"].get(name, {"bullet": f"{{value}} {name.replace('_', ' ')}"})
        text = self._phrase(name, known.get(form, known["bullet"]))
        return text if "detail" in known and text[:2] == "V-" else text[:1].lower() + text[1:]

    def sentence(self, ways: list[list[str]], **words: str) -> str:
        """Return one of the ways to put it, chosen by the product's id, in singular or plural as its category."""
        pattern = ways[zlib.crc32(self.sku_id.encode()) % len(ways)][self.plural]
        look = " ".join([*self.adjectives(), self.category])
        article = self.article(look)
        text = pattern.format(look=look, Look=capital(look), a=article, A=capital(article), **words)
        return SPACE.sub(" ", text).strip()

    def join(self, parts: list[str]) -> str:
        """Return "a, b and c"."""
        marks = self.phrases["list"]
        return marks["and"].join(part for part in (marks["comma"].join(parts[:-1]), *parts[-1:]) if part)

    def article(self, text: str) -> str:
        """Return the indefinite article for ``text``."""
        rule, start = self.phrases["article"], text.casefold()
        vowel = start.startswith(tuple(rule["vowel_sounds"])) and not start.startswith(tuple(rule["but"]))
        return rule["vowel" if vowel else "other"]

    def _phrase(self, name: str, pattern: str) -> str:
        value = self._letters(self.value(name))
        complete = tuple(self.phrases["attributes"].get(name, {}).get("complete", ()))
        if complete and "{value}" in pattern and value.lower().endswith(complete):
            pattern = "{a} {value}" if pattern.startswith("{a}") else "{value}"
        follows = pattern.removeprefix("{a} ").format(value=value)
        return pattern.format(value=value, a=self.article(follows))

    def _letters(self, value: str) -> str:
        return "-".join(part.upper() if part in self.phrases["upper"] else part for part in value.split("-"))

    def _in_category(self, value: str) -> bool:
        return f" {value.split('-')[0]} " in f" {self.category} " or value in self.category


def titled(text: str, phrases: dict[str, Any]) -> str:
    """Return ``text`` in title case; words that have capitals keep them."""
    small = phrases["titles"]["small"]
    words = [w if w in small and i else "-".join(map(capital, w.split("-"))) for i, w in enumerate(text.split())]
    return " ".join(words)


def shorten(text: str, longest: int) -> str:
    """Return ``text`` in at most ``longest`` characters, cut at the end of a word if possible."""
    if len(text) <= longest:
        return text
    cut = text[:longest].rpartition(" ")[0] or text[: longest - 1]
    return cut.rstrip(" ,;:-") + "…"


def one_line(text: str) -> str:
    """Return ``text`` with single spaces between its words."""
    return SPACE.sub(" ", text).strip()


def capital(text: str) -> str:
    """Return ``text`` with a capital first letter."""
    return text[:1].upper() + text[1:]
