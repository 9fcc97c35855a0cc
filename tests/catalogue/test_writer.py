"""Asking, checking, asking again and falling back, over real HTTP."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.language_model import LanguageModel
from skufp.catalogue.metadata import FIELDS
from skufp.catalogue.template import Template
from skufp.catalogue.writer import CopyWriter, Written
from skufp.compute.parts import LocalThreads
from skufp.errors import UserError

pytest.importorskip("openai")
FACTS = Facts("1", "dress", {"colour": Value("navy", 0.9, "prompt"), "length": Value("midi", 0.9, "prompt")})
GOOD = {
    "title": "Navy Midi Dress",
    "bullet_points": ["Colour: navy", "Midi length", "A dress"],
    "description": "This navy dress has a midi length. It is easy to style.",
    "style_summary": "A simple navy midi dress.",
    "seo_tags": ["navy dress", "midi dress", "dress style", "dress outfit", "dress look"],
}
TEMPLATE = Template()


def field_of(request: dict[str, Any]) -> str:
    return request["response_format"]["json_schema"]["name"]


def answers(hostile: SimpleNamespace, bad: Callable[[str, bool], Any]) -> Any:
    """An honest model, but for what ``bad(field, again)`` puts in the answer's place."""

    def answer(handler: Any, request: dict[str, Any]) -> None:
        name = field_of(request)
        again = "not in the facts" in request["messages"][-1]["content"]
        value = bad(name, again)
        hostile.says({name: GOOD[name]} if value is None else {name: value})(handler, request)

    return answer


def write(hostile: SimpleNamespace, *how: Any, facts: Facts = FACTS, **settings: Any) -> tuple[Written, list[dict]]:
    with hostile.Server(*how) as server, LanguageModel(server.base_url, "m", backoff=0.01, retries=1) as model:
        return CopyWriter(TEMPLATE, model, **settings).write(facts), server.requests


def test_an_honest_model_writes_everything(hostile: SimpleNamespace) -> None:
    written, requests = write(hostile, answers(hostile, lambda name, again: None))
    assert written.copy.model_dump() == GOOD
    assert written.written_by == dict.fromkeys(FIELDS, "model")
    assert written.notes == {}
    assert [field_of(request) for request in requests] == list(FIELDS)


def test_an_invention_is_asked_about_once_again_with_the_complaint(hostile: SimpleNamespace) -> None:
    lie = lambda name, again: "Navy Silk Dress" if name == "title" and not again else None  # noqa: E731
    written, requests = write(hostile, answers(hostile, lie))
    assert written.written_by["title"] == "model"
    assert written.copy.title == GOOD["title"]
    first, second = (r for r in requests if field_of(r) == "title")
    *before, answer, complaint = second["messages"]
    assert before == first["messages"]  # servers keep what they have read of a beginning
    assert answer == {"role": "assistant", "content": '{"title": "Navy Silk Dress"}'}
    assert "material 'Silk' is not in the facts" in complaint["content"]
    assert second["temperature"] > first["temperature"] == 0


def test_after_a_second_invention_the_template_writes_and_the_row_says_why(hostile: SimpleNamespace) -> None:
    lie = lambda name, again: "Gucci Dress" if name == "title" else None  # noqa: E731
    written, requests = write(hostile, answers(hostile, lie))
    assert written.written_by == {**dict.fromkeys(FIELDS, "model"), "title": "template"}
    assert written.copy.title == TEMPLATE.field("title", FACTS) == "Navy Midi Dress"
    said = "the language model said what the facts do not hold: title: brand 'Gucci' is not in the facts"
    assert written.notes == {"title": said}
    assert len(requests) == len(FIELDS) + 1


def test_a_cut_off_answer_gets_twice_the_room(hostile: SimpleNamespace) -> None:
    written, requests = write(hostile, hostile.says('{"title": "N', "length"), hostile.says({"title": "Navy Dress"}))
    assert written.copy.title == "Navy Dress"
    assert requests[1]["max_tokens"] == 2 * requests[0]["max_tokens"]


def test_whatever_a_server_does_the_copy_is_valid(hostile: SimpleNamespace) -> None:
    for trouble in (hostile.drops, hostile.half, hostile.status(429), hostile.body("<html>"), hostile.says("")):
        written, _ = write(hostile, trouble)
        assert written.copy == TEMPLATE.write(FACTS)
        assert set(written.written_by.values()) == {"template"}
        assert set(written.notes) == set(FIELDS)
        assert all(note.startswith("the language model") for note in written.notes.values())


def test_a_server_that_stays_away_stops_the_writing(hostile: SimpleNamespace) -> None:
    with pytest.raises(UserError, match=r"4 requests in a row unanswered.*llm=template"):
        write(hostile, hostile.drops, patience=4)


def test_products_come_in_order_and_requests_are_limited(hostile: SimpleNamespace) -> None:
    products = [Facts(str(i), "dress", FACTS.attributes) for i in range(9)]
    honest = hostile.slowly(answers(hostile, lambda name, again: None))
    with hostile.Server(honest) as server, LanguageModel(server.base_url, "m") as model:
        writing = LocalThreads(3, ahead=6).map(CopyWriter(TEMPLATE, model).write, products)
        assert [written.sku_id for written in writing] == [facts.sku_id for facts in products]
        assert server.most_open == 3


def test_without_a_model_the_template_writes_everything() -> None:
    written = CopyWriter(TEMPLATE).write(FACTS)
    assert written.copy == TEMPLATE.write(FACTS)
    assert set(written.written_by.values()) == {"template"}


def test_refused_items_and_sentences_are_left_out_where_enough_is_left(hostile: SimpleNamespace) -> None:
    def bad(name: str, again: bool) -> Any:
        if name == "seo_tags":
            return {"colour": "Navy dress", "fabric": "silk dress", "length": "midi dress", **dict.fromkeys("abc", "x")}
        if name == "bullet_points":
            return [*GOOD["bullet_points"][:2], "Made of silk"]  # two are too few
        return "This navy dress is easy to style. It is made of silk." if name == "description" else None

    written, requests = write(hostile, answers(hostile, bad))
    assert written.copy.description == "This navy dress is easy to style."
    assert written.written_by == {**dict.fromkeys(FIELDS, "model"), "bullet_points": "template", "seo_tags": "template"}
    enough = {"seo_tags": dict(zip("abcdef", [*GOOD["seo_tags"], "silk dress"], strict=True))}
    written, requests = write(hostile, answers(hostile, lambda name, again: enough.get(name)))
    assert written.copy.seo_tags == GOOD["seo_tags"]
    assert len(requests) == len(FIELDS)


def test_entities_of_a_manifest_are_characters_in_prompts_and_copy(hostile: SimpleNamespace) -> None:
    tee = Facts(
        "1", "t-shirt", {"colour": Value("navy", 0.9, "prompt")}, {"title": "Ryker LumaTech&trade; Tee &amp; Co"}
    )
    title = lambda name, again: "Ryker LumaTech Tee in navy" if name == "title" else None  # noqa: E731
    written, requests = write(hostile, answers(hostile, title), facts=tee)
    assert written.copy.title == "Ryker LumaTech Tee in Navy"
    assert "Ryker LumaTech Tee & Co: a navy" in requests[0]["messages"][-1]["content"]
    assert CopyWriter(TEMPLATE).write(tee).copy.title == "Ryker LumaTech™ Tee & Co in Navy"


def test_the_identity_tells_what_the_copy_depends_on(hostile: SimpleNamespace) -> None:
    assert list(CopyWriter(TEMPLATE).identity) == ["version", "template"]
    with LanguageModel("http://x/v1", "m", timeout=5) as model, LanguageModel("http://x/v1", "m", seed=1) as other:
        identity = CopyWriter(TEMPLATE, model).identity
        assert json.loads(json.dumps(identity)) == identity
        assert identity["model"]["base_url"] == "http://x/v1"
        assert identity == CopyWriter(TEMPLATE, model, patience=2).identity
        for changed in (CopyWriter(Template(tone="elegant"), model), CopyWriter(TEMPLATE, other)):
            assert changed.identity != identity
        assert CopyWriter(TEMPLATE, model, tone="elegant").identity != identity


def test_the_prompt_holds_the_facts_and_the_example_answers_are_json(hostile: SimpleNamespace) -> None:
    _, requests = write(hostile, answers(hostile, lambda name, again: None), tone="elegant")
    for request in requests:
        assert "elegant" in request["messages"][0]["content"]
        assert "navy" in request["messages"][-1]["content"].lower()
        for message in request["messages"]:
            if message["role"] == "assistant":
                assert list(json.loads(message["content"])) == [field_of(request)]
