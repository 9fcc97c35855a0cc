"""A real openai client against a real HTTP server that misbehaves."""

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from skufp.catalogue.language_model import LanguageModel, ModelError
from skufp.errors import UserError

pytest.importorskip("openai")
MESSAGES = [{"role": "user", "content": "a navy dress"}]
GOOD = {"title": "Navy Dress"}


def ask(hostile: SimpleNamespace, *answers: Any, name: str = "title", **settings: Any) -> tuple[Any, list[dict]]:
    """Return the answer, or the ModelError, and the requests that it took."""
    settings = {"backoff": 0.01, "timeout": 5.0, **settings}
    with hostile.Server(*answers) as server, LanguageModel(server.base_url, "small", **settings) as model:
        try:
            return model.ask(name, MESSAGES), server.requests
        except ModelError as error:
            return error, server.requests


def test_it_asks_for_the_one_field_by_schema_and_repeatably(hostile: SimpleNamespace) -> None:
    answer, requests = ask(hostile, hostile.says(GOOD), seed=7)
    assert answer == "Navy Dress"
    (request,) = requests
    assert (request["model"], request["temperature"], request["seed"], request["messages"]) == ("small", 0, 7, MESSAGES)
    asked = request["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"]["required"] == ["title"]


@pytest.mark.parametrize("trouble", ["drops", "half"])
def test_a_dropped_connection_is_tried_again(hostile: SimpleNamespace, trouble: str) -> None:
    answer, requests = ask(hostile, getattr(hostile, trouble), getattr(hostile, trouble), hostile.says(GOOD))
    assert answer == "Navy Dress"
    assert len(requests) == 3


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_busy_server_is_tried_again(hostile: SimpleNamespace, code: int) -> None:
    answer, requests = ask(hostile, hostile.status(code), hostile.says(GOOD))
    assert answer == "Navy Dress"
    assert [r["response_format"]["type"] for r in requests] == ["json_schema"] * 2


def test_retry_after_is_waited_for(hostile: SimpleNamespace) -> None:
    began = time.monotonic()
    answer, _ = ask(hostile, hostile.status(429, Retry_After="0.3"), hostile.says(GOOD))
    assert answer == "Navy Dress"
    assert time.monotonic() - began >= 0.3


def test_tries_are_bounded(hostile: SimpleNamespace) -> None:
    error, requests = ask(hostile, hostile.status(429), retries=2)
    assert (error.kind, len(requests)) == ("limit", 3)
    error, requests = ask(hostile, hostile.drops, retries=1)
    assert (error.kind, len(requests)) == ("down", 2)


@pytest.mark.parametrize("trouble", ["hangs", "drips"])
def test_a_request_ends_at_its_timeout_however_it_is_held_up(hostile: SimpleNamespace, trouble: str) -> None:
    error, requests = ask(hostile, getattr(hostile, trouble), timeout=0.3, retries=1)
    assert (error.kind, len(requests)) == ("slow", 2)
    assert "0.3 s" in str(error)


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("empty", "", "stop"),
        ("empty", None, "stop"),
        ("length", '{"title": "Navy Dr', "length"),
        ("schema", "A navy dress, what else?", "stop"),
        ("schema", {"name": "Navy Dress"}, "stop"),
        ("schema", {"title": 3}, "stop"),
        ("schema", {"title": "x" * 151}, "stop"),
        ("schema", {"title": " "}, "stop"),
        ("schema", "[" * 100_000 + "{" * 3, "stop"),
    ],
)
def test_an_unusable_answer_says_why_and_is_not_asked_for_again_here(
    hostile: SimpleNamespace, kind: str, content: Any, reason: str
) -> None:
    error, requests = ask(hostile, hostile.says(content, reason))
    assert (error.kind, len(requests)) == (kind, 1)


@pytest.mark.parametrize(
    "text", ["<html>Welcome</html>", "{", '{"a": 1}', "null", "[]", '{"choices": []}', '{"choices": [3]}']
)
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_garbage_in_place_of_a_completion_is_told_apart(hostile: SimpleNamespace, text: str, kind: str) -> None:
    error, _ = ask(hostile, hostile.body(text, kind), retries=0)
    assert isinstance(error, ModelError)
    assert error.kind == "garbage"


@pytest.mark.parametrize(
    "content",
    ['```json\n{"title": "Navy Dress"}\n```', 'Sure! {"title": "Navy Dress"} Anything else?',
     '<think>{"title": "Red Hat"}</think>{"title": " Navy\\n Dress "}', '{oops {"title": "Navy Dress"}'],
)  # fmt: skip
def test_json_among_other_text_is_found(hostile: SimpleNamespace, content: str) -> None:
    assert ask(hostile, hostile.says(content))[0] == "Navy Dress"


def test_lists_are_tidied(hostile: SimpleNamespace) -> None:
    tags = ["Navy Dress", "navy dress", " dress", "midi", "- cotton", "V-neck."]
    answer, _ = ask(hostile, hostile.says({"seo_tags": tags}), name="seo_tags")
    assert answer == ["navy dress", "dress", "midi", "cotton", "v-neck"]


@pytest.mark.parametrize(
    ("refused", "modes"),
    [(["json_schema"], ["json_schema", "json_object", "json_object"]),
     (["json_schema", "json_object"], ["json_schema", "json_object", None, None])],
)  # fmt: skip
def test_a_server_that_refuses_the_schema_is_asked_otherwise_from_then_on(
    hostile: SimpleNamespace, refused: list[str], modes: list[str | None]
) -> None:
    with hostile.Server(hostile.refuses(*refused)) as server, LanguageModel(server.base_url, "small") as model:
        assert [model.ask("title", MESSAGES) for _ in range(2)] == ["Navy Dress"] * 2
        assert [r.get("response_format", {}).get("type") for r in server.requests] == modes


def test_a_refusal_of_everything_ends(hostile: SimpleNamespace) -> None:
    error, requests = ask(hostile, hostile.status(400))
    assert (error.kind, len(requests)) == ("refused", 3)
    error, requests = ask(hostile, hostile.status(401))
    assert (error.kind, len(requests)) == ("refused", 1)


def test_threads_share_one_client(hostile: SimpleNamespace) -> None:
    with hostile.Server(hostile.slowly(hostile.says(GOOD))) as server, LanguageModel(server.base_url, "m") as model:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(model.ask("title", MESSAGES))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["Navy Dress"] * 8


def test_check_takes_the_first_model_or_the_named_one(hostile: SimpleNamespace) -> None:
    with hostile.Server(hostile.says(GOOD)) as server:
        with LanguageModel(server.base_url) as model:
            assert model.check() == "small"
        with LanguageModel(server.base_url, "large") as model, pytest.raises(UserError, match=r"has small"):
            model.check()


def test_check_says_what_to_do_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    with LanguageModel(url, retries=0) as model, pytest.raises(UserError, match=r"does not answer.*llm=template"):
        model.check()
