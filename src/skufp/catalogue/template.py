"""Copy without a language model (llm=template): every field from facts alone, deterministic."""

import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from skufp.catalogue.facts import Facts
from skufp.catalogue.lexicon import HERE, fingerprint, language_folder
from skufp.catalogue.metadata import FIELDS, ProductCopy
from skufp.catalogue.spoken_facts import SPACE, SpokenFacts, capital, shorten, titled
from skufp.errors import UserError, nearest

VERSION = 2  # raise it when the copy of any facts changes
_SIGNS = re.compile("[™®©]")


class Template:
    """Writes copy by the phrases of one language (catalogue/phrases/<language>.toml) in one tone.

    Length limits always hold: details are left out of a title before the title is cut at a word's end.
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
        return getattr(self, f"_{name}")(SpokenFacts(facts, self.phrases))

    @property
    def identity(self) -> dict[str, Any]:
        """The inputs of its copy, for cache keys."""
        return {"version": VERSION, "language": self.language, "tone": self.tone_name, "phrases": self.fingerprint}

    def styled(self, name: str, value: Any) -> Any:
        """Return a model's field in the template's form: a title in title case, without an article."""
        if name != "title":
            return value
        first, _, rest = value.partition(" ")
        articles = (self.phrases["article"]["vowel"], self.phrases["article"]["other"])
        return titled(rest if rest and first.lower() in articles else value, self.phrases)

    def named(self, facts: Facts) -> bool:
        """Return whether the manifest has a name for the product."""
        return bool(SpokenFacts(facts, self.phrases).own_title)

    def points(self, facts: Facts) -> dict[str, str]:
        """Return the topics of a model's bullets: {"sleeve": "long sleeves", …}, three to six."""
        spoken = SpokenFacts(facts, self.phrases)
        points = {name: spoken.phrase(name, "phrase") for name in list(spoken.values)[:6]}
        if spoken.brand and len(points) < 6:
            points["brand"] = self.phrases["sentence"]["by"].format(brand=spoken.brand)
        spare = self.phrases["told"]["points"].items()
        missing = [(name, text.format(category=spoken.category)) for name, text in spare if name not in points]
        return points | dict(missing[: max(0, 3 - len(points))])

    def parts(self, name: str, facts: Facts) -> list[str]:
        """Return the topics of a list's items: the points for bullets, the words and then general topics for tags."""
        if name == "bullet_points":
            return list(self.points(facts))
        if name != "seo_tags":
            return []
        words = [word for word in self.words(facts) if word != "kind"][:5]
        return [*words, *self.phrases["told"]["tags"][: max(2, 7 - len(words))]]

    def words(self, facts: Facts) -> dict[str, str]:
        """Return the topics of a model's tags: {"colour": "white", "sleeve": "long sleeves", …, "kind": "shirt"}."""
        spoken = SpokenFacts(facts, self.phrases)
        words = {
            n: spoken.phrase(n, "word") for n, v in spoken.values.items() if v.lower() not in self.phrases["silent"]
        }
        return words | ({"brand": spoken.brand} if spoken.brand else {}) | {"kind": spoken.category}

    def sentence(self, facts: Facts) -> str:
        """Return the facts as one phrase, "a navy midi dress with a V-neck", which small models follow best."""
        spoken, parts = SpokenFacts(facts, self.phrases), self.phrases["sentence"]
        details = spoken.details()
        known = {"details": spoken.join(details), "occasion": spoken.value("occasion"), "brand": spoken.brand}
        known["title"] = _SIGNS.sub("", spoken.own_title)
        first, rest = ("title",), ("details", "occasion", "brand")
        opening, ending = ("".join(parts[n].format(**known) for n in names if known[n]) for names in (first, rest))
        return opening + spoken.sentence([parts["look"]]) + ending

    def _title(self, spoken: SpokenFacts) -> str:
        titles = self.phrases["titles"]
        if spoken.own_title:
            title, brand, colour = spoken.own_title, spoken.brand, spoken.value("colour")
            if brand and brand.casefold() not in title.casefold():
                title = titles["branded"].format(brand=brand, title=title)
            longer = titles["coloured"].format(title=title, colour=titled(colour, self.phrases))
            return longer if colour and colour not in title.casefold() and len(longer) <= 150 else shorten(title, 150)
        noun, details = spoken.category, spoken.details(articles=False)
        adjectives = spoken.adjectives()
        for kept in range(len(details), -1, -1):
            pattern = titles["detailed" if kept else "plain"]
            text = pattern.format(adjectives=" ".join(adjectives), category=noun, details=spoken.join(details[:kept]))
            title = titled(SPACE.sub(" ", text).strip(), self.phrases)
            if len(title) <= 150:
                return title
        return shorten(titled(noun, self.phrases), 150)

    def _bullet_points(self, spoken: SpokenFacts) -> list[str]:
        bullets = [spoken.bullet(name) for name in spoken.values]
        words = self.phrases["bullets"]
        bullets = bullets[:6] if len(bullets) > 5 else [words["category"].format(category=spoken.category), *bullets]
        if spoken.brand and len(bullets) < 6:
            bullets.append(words["brand"].format(brand=spoken.brand))
        unique = list(dict.fromkeys(shorten(capital(bullet), 200) for bullet in bullets))
        return (unique + words["fallback"])[: max(3, len(unique))]

    def _description(self, spoken: SpokenFacts) -> str:
        opening = "named" if spoken.own_title else "intro"
        sentences = [spoken.sentence(self.tone[opening], title=spoken.own_title)]
        if details := spoken.details():
            sentences.append(spoken.sentence(self.tone["details"], details=spoken.join(details)))
        if occasion := spoken.value("occasion"):
            sentences.append(spoken.sentence(self.tone["use"], occasion=occasion))
        if spoken.brand:
            sentences.append(spoken.sentence(self.tone["brand"], brand=spoken.brand))
        return shorten(" ".join([*sentences, spoken.sentence(self.tone["bare"])]), 5000)

    def _style_summary(self, spoken: SpokenFacts) -> str:
        details = spoken.details()
        text = spoken.sentence(self.tone["summary" if details else "summary_bare"], details=spoken.join(details))
        return shorten(text, 400)

    def _seo_tags(self, spoken: SpokenFacts) -> list[str]:
        words, noun = self.phrases["tags"], spoken.category
        adjectives = spoken.adjectives()
        tags = [words["one"].format(value=value, category=noun) for value in [*adjectives, *spoken.qualities()]]
        tags += [
            words["two"].format(first=first, second=second, category=noun) for first, second in pairwise(adjectives)
        ]
        if spoken.brand:
            tags.append(words["branded"].format(brand=spoken.brand, category=noun))
        spare = [tag.format(category=noun) for tag in words["fallback"]]
        fit = [t for t in dict.fromkeys(SPACE.sub(" ", tag).strip().lower() for tag in [*tags, *spare]) if len(t) <= 40]
        distinct = list({frozenset(tag.split()): tag for tag in reversed(fit)}.values())[::-1]
        meant = sum(tag.lower() in distinct for tag in [*tags, noun])
        return distinct[: min(15, max(5, meant))]


@cache
def load_phrases(language: str, root: Path = HERE / "phrases") -> dict[str, Any]:
    """Read the phrases of ``language``; UserError with the available languages if it is missing."""
    return tomllib.loads(_file(language, root).read_text(encoding="utf-8"))


def _file(language: str, root: Path = HERE / "phrases") -> Path:
    return language_folder(root, language, "phrases")
