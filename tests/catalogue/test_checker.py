import pytest

from skufp.catalogue.checker import Checker
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.lexicon import load_lexicon, number
from skufp.errors import UserError


def value(text: str) -> Value:
    return Value(text, 0.9, "prompt")


CHECKER = Checker()
DRESS = Facts(
    "1",
    "dress",
    {"colour": value("navy"), "neckline": value("v-neck"), "sleeve": value("short"), "fabric": value("polyester"),
     "pattern": value("striped"), "length": value("long")},
    {"brand": "Arden", "price": "29.90", "title": "Sola Dress"},
)  # fmt: skip


def found(text: str, field: str = "description", facts: Facts = DRESS) -> list[tuple[str, str]]:
    return [(problem.kind, problem.term) for problem in CHECKER.check(field, text, facts)]


@pytest.mark.parametrize(
    "text",
    [
        "A navy striped dress by Arden with a V-neck and short sleeves. It pairs well with a modern look.",
        "The Sola dress costs 29.9 and has a stripe pattern, a v neckline and a long length.",
        "Short-sleeved, v-necked and Navy Blue: a DRESS in polyester cloth with stripes.",
        "The dress’s stripes are easy to style.",
    ],
)
def test_what_the_facts_hold_may_be_said_in_other_forms(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("said", "kind", "term"),
    [
        ("a gucci dress", "brand", "gucci"),
        ("a Calvin Klein dress", "brand", "Calvin Klein"),
        ("a dress by H&M", "brand", "H M"),
        ("a dress by Zorvex", "name", "Zorvex"),
        ("a cotton dress", "material", "cotton"),
        ("a faux-fur dress", "material", "faux fur"),
        ("a black dress", "colour", "black"),
        ("an off-white dress", "colour", "off white"),
        ("an organic dress", "claim", "organic"),
        ("a WATERPROOF dress", "claim", "WATERPROOF"),
        ("a dress on sale", "claim", "on sale"),
        ("a dress with free shipping", "claim", "free shipping"),
        ("the best dress", "claim", "best"),
        ("a high-quality dress", "claim", "high quality"),
        ("a dress made in Italy", "claim", "made in"),
        ("a dress with pockets", "attribute", "pockets"),
        ("a dress with long sleeves", "attribute", "long sleeves"),  # its length is long, its sleeves are not
        ("a summer dress", "attribute", "summer"),
        ("a dress and a skirt", "kind of product", "skirt"),
        ("a dress for 19.90", "number", "19.90"),
        ("a dress with two belts", "number", "two"),
        ("a dress with a navy neckline", "attribute", "navy neckline"),  # navy and neckline, but not together
        ("a polyester polyester dress", "repetition", "polyester"),
        ("a dress for €", "number", "€"),
        ("a dress, 29.90 % off", "number", "%"),
        ("a <b>dress</b>", "markup", "<"),
        ("a dress 🎉", "markup", "🎉"),
        ("a dress, see www.dress.de", "markup", "www."),
        ("a Arden® dress", "markup", "®"),
        ("ein Kleid, a dress", "name", "Kleid"),
        ("a dress 服装", "name", "服装"),
    ],
)
def test_inventions_are_told_by_kind_and_words(said: str, kind: str, term: str) -> None:
    assert (kind, term) in found(f"This is {said}.")
    assert found("This is a dress.") == []


def test_a_fact_makes_the_same_words_allowed() -> None:
    proud = Facts("1", "dress", {"fabric": value("organic cotton")}, {"brand": "Gucci", "note": "Free shipping"})
    assert found("An organic cotton dress by Gucci with free shipping.", facts=proud) == []


def test_titles_and_tags_hold_known_words_only_and_prose_is_freer() -> None:
    assert found("Navy zorvex dress", "title") == [("word", "zorvex")]
    assert found("navy dress that whispers", "description") == []
    (problem,) = CHECKER.check("seo_tags", ["navy dress", "frobnicated dress"], DRESS)
    assert str(problem) == "tag 2: word 'frobnicated' is not in the facts"


def test_where_and_what_are_said() -> None:
    problems = CHECKER.check("bullet_points", ["Navy", "Made of silk", "For 5 euros"], DRESS)
    assert [str(problem) for problem in problems] == [
        "bullet 2: material 'silk' is not in the facts",
        "bullet 3: number '5' is not in the facts",
        "bullet 3: number 'euros' is not in the facts",
    ]


def test_repetition_is_refused() -> None:
    again = "It has a stripe. " * 2
    assert found(f"A dress. {again}") == [("repetition", "it has a stripe")]
    assert ("repetition", "a navy dress with") in found("A navy dress with a navy dress with a navy dress with stripes")
    bullets = CHECKER.check("bullet_points", ["Navy stripes", "V-neck", "Striped navy"], DRESS)
    assert [(p.kind, p.term) for p in bullets] == [("repetition", "Striped navy")]


def test_title_and_description_name_the_product() -> None:
    assert found("A look of navy stripes.") == [("missing", "dress")]
    assert found("Navy Stripes", "title") == [("missing", "dress")]
    assert found("The Sola in navy.") == []  # the manifest's own name for it
    assert found("A simple look of navy stripes.", "style_summary") == []


@pytest.mark.parametrize(
    ("text", "form"), [("29.90", "29.9"), ("29,90", "29.9"), ("1,299", "1299"), ("1.299,00", "1299"), ("3.0", "3")]
)
def test_numbers_have_one_form(text: str, form: str) -> None:
    assert number(text) == form


def test_a_short_skirt_is_no_pair_of_shorts() -> None:
    skirt = Facts("1", "skirt", {"length": value("short")})
    assert found("A short skirt.", facts=skirt) == []
    assert found("A skirt, no shorts.", facts=skirt) == [("kind of product", "shorts")]


def test_a_trademark_sign_is_no_part_of_a_word() -> None:
    tee = Facts("1", "t-shirt", {}, {"title": "Ryker LumaTech™ Tee"})
    assert found("The Ryker LumaTech Tee is a t-shirt.", facts=tee) == []


def test_what_is_refused_can_be_left_out() -> None:
    def spared(name: str, value: object) -> object:
        return CHECKER.spared(name, value, DRESS)

    assert spared("seo_tags", ["navy dress", "striped dress", "long dress", "silk", "red"]) is None
    left = ["navy dress", "striped dress", "long dress", "dress", "v-neck dress"]
    assert spared("seo_tags", [*left, "silk dress", "dress navy"]) == left
    assert spared("description", "A navy dress. It is silk. It has stripes.") == "A navy dress. It has stripes."
    assert spared("description", "A silk dress. It has stripes.") is None  # names no product any more
    assert spared("title", "Navy Silk Dress") is None


def test_no_plain_word_is_guarded() -> None:
    lexicon = load_lexicon("en")
    assert sorted(lexicon.plain & {key[0] for key in lexicon.terms if len(key) == 1}) == []


def test_an_unknown_language_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"llm.language=xx: there is no lexicon .* Valid: en"):
        Checker("xx")
