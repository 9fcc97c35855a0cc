"""Copy without a language model (llm=template): every field from facts alone, the same for equal facts."""

import re
import tomllib
import zlib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from skufp.catalogue.facts import Facts
from skufp.catalogue.lexicon import HERE, fingerprint, language_folder
from skufp.catalogue.metadata import FIELDS, ProductCopy
from skufp.errors import UserError, nearest

VERSION = 2  # raise it when equal facts give other copy
_SPACE = re.compile(r"\s+")
_SIGNS = re.compile("[™®©]")


class Template:
    """Writes copy by the phrases of one language (catalogue/phrases/<language>.toml) in one tone.

    Lengths are kept whatever the facts hold: details are left out of a title before it is cut at a word's end.
    """

    def __init__(self, language: str = "en", tone: str = "neutral") -> None:
        self.phrases, self.fingerprint = load_phrases(language), fingerprint(_file(language))
        self.language, self.tone_name = language, tone
        if tone not in self.phrases["tones"]:
            raise UserError(f"llm.tone={tone}: phrases/{language}.toml has no such tone."
                            f"{nearest(tone, self.phrases['tones'])}")  # fmt: skip
        self.tone = self.phrases["tones"][tone]

    def write(self, facts: Facts) -> ProductCopy:
        """Return the whole copy of one product."""
        return ProductCopy(**{name: self.field(name, facts) for name in FIELDS})

    def field(self, name: str, facts: Facts) -> Any:
        """Return one field of the copy: a string, or a list of them for bullet_points and seo_tags."""
        return getattr(self, f"_{name}")(_Said(facts, self.phrases))

    @property
    def identity(self) -> dict[str, Any]:
        """What its copy depends on, for cache keys."""
        return {"version": VERSION, "language": self.language, "tone": self.tone_name, "phrases": self.fingerprint}

    def styled(self, name: str, value: Any) -> Any:
        """Return a model's field in the form that the template gives it: a title in title case, without an article."""
        if name != "title":
            return value
        first, _, rest = value.partition(" ")
        articles = (self.phrases["article"]["vowel"], self.phrases["article"]["other"])
        return titled(rest if rest and first.lower() in articles else value, self.phrases)

    def named(self, facts: Facts) -> bool:
        """Whether the manifest has a name for the product."""
        return bool(_Said(facts, self.phrases).own_title)

    def points(self, facts: Facts) -> dict[str, str]:
        """Return what a model writes a bullet about: {"sleeve": "long sleeves", …}, three to six."""
        said = _Said(facts, self.phrases)
        points = {name: said.phrase(name, "phrase") for name in list(said.values)[:6]}
        if said.brand and len(points) < 6:
            points["brand"] = self.phrases["sentence"]["by"].format(brand=said.brand)
        spare = self.phrases["told"]["points"].items()
        missing = [(name, text.format(category=said.category)) for name, text in spare if name not in points]
        return points | dict(missing[: max(0, 3 - len(points))])

    def parts(self, name: str, facts: Facts) -> list[str]:
        """Return what the items of a list are about: bullets of the points, tags of the words and then in general."""
        if name == "bullet_points":
            return list(self.points(facts))
        if name != "seo_tags":
            return []
        words = [word for word in self.words(facts) if word != "kind"][:5]
        return [*words, *self.phrases["told"]["tags"][: max(2, 7 - len(words))]]

    def words(self, facts: Facts) -> dict[str, str]:
        """Return what a model makes tags of: {"colour": "white", "sleeve": "long sleeves", …, "kind": "shirt"}."""
        said = _Said(facts, self.phrases)
        words = {n: said.phrase(n, "word") for n, v in said.values.items() if v.lower() not in self.phrases["silent"]}
        return words | ({"brand": said.brand} if said.brand else {}) | {"kind": said.category}

    def sentence(self, facts: Facts) -> str:
        """Return the facts as one phrase, "a navy midi dress with a V-neck": what a small model can keep to."""
        said, parts = _Said(facts, self.phrases), self.phrases["sentence"]
        details = said.details()
        known = {"details": said.join(details), "occasion": said.value("occasion"), "brand": said.brand}
        known["title"] = _SIGNS.sub("", said.own_title)
        first, rest = ("title",), ("details", "occasion", "brand")
        opening, ending = ("".join(parts[n].format(**known) for n in names if known[n]) for names in (first, rest))
        return opening + said.sentence([parts["look"]]) + ending

    def _title(self, said: "_Said") -> str:
        titles = self.phrases["titles"]
        if said.own_title:
            title, brand, colour = said.own_title, said.brand, said.value("colour")
            if brand and brand.casefold() not in title.casefold():
                title = titles["branded"].format(brand=brand, title=title)
            longer = titles["coloured"].format(title=title, colour=titled(colour, self.phrases))
            return longer if colour and colour not in title.casefold() and len(longer) <= 150 else shorten(title, 150)
        noun, details = said.category, said.details(articles=False)
        adjectives = said.adjectives()
        for kept in range(len(details), -1, -1):
            pattern = titles["detailed" if kept else "plain"]
            text = pattern.format(adjectives=" ".join(adjectives), category=noun, details=said.join(details[:kept]))
            title = titled(_SPACE.sub(" ", text).strip(), self.phrases)
            if len(title) <= 150:
                return title
        return shorten(titled(noun, self.phrases), 150)

    def _bullet_points(self, said: "_Said") -> list[str]:
        bullets = [said.bullet(name) for name in said.values]
        words = self.phrases["bullets"]
        bullets = bullets[:6] if len(bullets) > 5 else [words["category"].format(category=said.category), *bullets]
        if said.brand and len(bullets) < 6:
            bullets.append(words["brand"].format(brand=said.brand))
        unique = list(dict.fromkeys(shorten(_capital(bullet), 200) for bullet in bullets))
        return (unique + words["fallback"])[: max(3, len(unique))]

    def _description(self, said: "_Said") -> str:
        opening = "named" if said.own_title else "intro"
        sentences = [said.sentence(self.tone[opening], title=said.own_title)]
        if details := said.details():
            sentences.append(said.sentence(self.tone["details"], details=said.join(details)))
        if occasion := said.value("occasion"):
            sentences.append(said.sentence(self.tone["use"], occasion=occasion))
        if said.brand:
            sentences.append(said.sentence(self.tone["brand"], brand=said.brand))
        return shorten(" ".join([*sentences, said.sentence(self.tone["bare"])]), 5000)

    def _style_summary(self, said: "_Said") -> str:
        details = said.details()
        text = said.sentence(self.tone["summary" if details else "summary_bare"], details=said.join(details))
        return shorten(text, 400)

    def _seo_tags(self, said: "_Said") -> list[str]:
        words, noun = self.phrases["tags"], said.category
        adjectives = said.adjectives()
        tags = [words["one"].format(value=value, category=noun) for value in [*adjectives, *said.qualities()]]
        tags += [
            words["two"].format(first=first, second=second, category=noun) for first, second in pairwise(adjectives)
        ]
        if said.brand:
            tags.append(words["branded"].format(brand=said.brand, category=noun))
        spare = [tag.format(category=noun) for tag in words["fallback"]]
        fit = [
            t for t in dict.fromkeys(_SPACE.sub(" ", tag).strip().lower() for tag in [*tags, *spare]) if len(t) <= 40
        ]
        distinct = list({frozenset(tag.split()): tag for tag in reversed(fit)}.values())[::-1]
        meant = sum(tag.lower() in distinct for tag in [*tags, noun])
        return distinct[: min(15, max(5, meant))]


class _Said:
    """One product's facts as words ready to be put into phrases."""

    def __init__(self, facts: Facts, phrases: dict[str, Any]) -> None:
        self.phrases = phrases
        self.sku_id = facts.sku_id
        self.category = _one_line(facts.category) or phrases["nameless"]
        self.category = shorten(self.category.lower(), 100)
        title = facts.fields.get("title") or facts.fields.get("name", "")
        self.own_title, self.brand = _one_line(title), _one_line(facts.fields.get("brand", ""))
        said = {name: _one_line(value.value) for name, value in facts.attributes.items()}
        self.values = {
            name: shorten(value, 60) for name, value in said.items() if value.lower() not in ("", *phrases["unsaid"])
        }
        self.plural = self.category.split()[-1] in phrases["plurals"]

    def value(self, name: str) -> str:
        """Return an attribute's value as it stands within a sentence; empty where it is not known."""
        return self.values.get(name, "").lower()

    def adjectives(self) -> list[str]:
        """Return the values that stand before the noun, without those the category already says."""
        names = [name for name in self.phrases["adjectives"] if name in self.values]
        values = dict.fromkeys(self.value(name) for name in names)
        heard = [v for v in values if v not in self.phrases["silent"] and not self._in_category(v)]
        return [self._letters(self.phrases["spoken"].get(v, v)) for v in heard]

    def qualities(self) -> list[str]:
        """Return the values of other attributes that may stand before the noun in a tag: v-neck, long sleeve."""
        names = [n for n in self.values if "detail" in self.phrases["attributes"].get(n, {})]
        return [self._phrase(n, "{value} " + n).lower() for n in names if not self._in_category(self.value(n))]

    def details(self, articles: bool = True) -> list[str]:
        """Return what the product "has": necklines, sleeves, closures, each with its article or (titles) without."""
        spoken = []
        for name, value in self.values.items():
            known = self.phrases["attributes"].get(name, {})
            if "detail" not in known or value.lower() in self.phrases["silent"] or self._in_category(value.lower()):
                continue
            pattern = known.get("exact", {}).get(value.lower(), known["detail"])
            spoken.append(self._phrase(name, pattern if articles else pattern.replace("{a} ", "")))
        return spoken

    def bullet(self, name: str) -> str:
        """Return the bullet of an attribute; those the phrases do not know read "Name: value"."""
        known = self.phrases["attributes"].get(name, {})
        return self._phrase(name, known.get("bullet", f"{name.replace('_', ' ')}: {{value}}"))

    def phrase(self, name: str, form: str) -> str:
        """Return an attribute as a model is told it, in the form "phrase" or "word"."""
        known = self.phrases["attributes"].get(name, {"bullet": f"{{value}} {name.replace('_', ' ')}"})
        text = self._phrase(name, known.get(form, known["bullet"]))
        return text if "detail" in known and text[:2] == "V-" else text[:1].lower() + text[1:]

    def sentence(self, ways: list[list[str]], **words: str) -> str:
        """Return one of the ways to say it, picked by the product's id, in the number of its category."""
        pattern = ways[zlib.crc32(self.sku_id.encode()) % len(ways)][self.plural]
        look = " ".join([*self.adjectives(), self.category])
        article = self.article(look)
        text = pattern.format(look=look, Look=_capital(look), a=article, A=_capital(article), **words)
        return _SPACE.sub(" ", text).strip()

    def join(self, parts: list[str]) -> str:
        """Return "a, b and c"."""
        marks = self.phrases["list"]
        return marks["and"].join(part for part in (marks["comma"].join(parts[:-1]), *parts[-1:]) if part)

    def article(self, text: str) -> str:
        """Return the indefinite article of what follows."""
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


@cache
def load_phrases(language: str, root: Path = HERE / "phrases") -> dict[str, Any]:
    """Read the phrases of ``language``; UserError naming those there are where it is missing."""
    return tomllib.loads(_file(language, root).read_text(encoding="utf-8"))


def _file(language: str, root: Path = HERE / "phrases") -> Path:
    return language_folder(root, language, "phrases")


def titled(text: str, phrases: dict[str, Any]) -> str:
    """Return ``text`` in title case; words with capitals of their own keep them."""
    small = phrases["titles"]["small"]
    words = [w if w in small and i else "-".join(map(_capital, w.split("-"))) for i, w in enumerate(text.split())]
    return " ".join(words)


def shorten(text: str, longest: int) -> str:
    """Return ``text`` in at most ``longest`` characters, cut at the end of a word where there is one."""
    if len(text) <= longest:
        return text
    cut = text[:longest].rpartition(" ")[0] or text[: longest - 1]
    return cut.rstrip(" ,;:-") + "…"


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
