from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from skufp.catalogue.facts import Facts
from skufp.catalogue.llm import open_writer
from skufp.catalogue.metadata import FIELDS
from skufp.catalogue.prompt import known_of, load_prompts
from skufp.catalogue.template import Template
from skufp.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf" / "llm"
SKIRT = Facts("1", "skirt")


def settings(group: str, **changed: Any) -> dict[str, Any]:
    return {**yaml.safe_load((CONF / f"{group}.yaml").read_text(encoding="utf-8")), **changed}


def test_the_template_needs_no_server() -> None:
    with open_writer(settings("template", tone="friendly")) as writer:
        assert writer.write(SKIRT).copy.title == "Skirt"


def test_openai_uses_the_shop_s_prompts_and_key(
    hostile: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    (tmp_path / "en").mkdir()
    for name in FIELDS:
        (tmp_path / "en" / f"{name}.md").write_text("## user\nOurs {x}: {facts}", encoding="utf-8")
    monkeypatch.setenv("SHOP_KEY", "secret")
    keys = []

    def answer(handler: Any, request: dict[str, Any]) -> None:
        keys.append(handler.headers["Authorization"])
        hostile.says({"title": "Skirt"})(handler, request)

    with hostile.Server(answer) as server:
        llm = settings("openai", base_url=server.base_url, prompts=str(tmp_path), api_key_env="SHOP_KEY", backoff=0.01)
        with open_writer(llm) as writer:
            written = writer.write(SKIRT)
    assert written.written_by["title"] == "model"
    assert set(keys) == {"Bearer secret"}
    assert server.requests[0]["model"] == "small"
    assert server.requests[0]["messages"] == [{"role": "user", "content": "Ours {x}: category: skirt"}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("## user\nhello", "holds {facts}"), ("## robot\nhello\n## user\n{facts}", "'## robot' is no part"),
     ("## user wiht title\nhello\n## user\n{facts}", "'## user wiht title' is no part"),
     ("", "last turn must be a '## user'")],
)  # fmt: skip
def test_a_prompt_that_cannot_work_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "title.md").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_prompts("en", tmp_path)
    assert complaint in str(error.value) or "bullet_points.md: there is no such file" in str(error.value)
    for name in FIELDS:
        (tmp_path / "en" / f"{name}.md").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"title\.md") as error:
        load_prompts("en", tmp_path)
    assert complaint in str(error.value)


def test_an_example_is_for_products_with_or_without_a_title(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    text = "## user with title\nS\n## assistant\nT\n## user without title\nU\n## assistant\nV\n## user\n{facts}"
    for name in FIELDS:
        (tmp_path / "en" / f"{name}.md").write_text(text, encoding="utf-8")
    prompt = load_prompts("en", tmp_path).fields["title"]
    named = known_of(Facts("1", "shirt", {}, {"title": "Sol"}), Template(), "title")
    assert [m["content"] for m in prompt.messages(named)][:2] == ["S", "T"]
    assert [m["content"] for m in prompt.messages(known_of(SKIRT, Template(), "title"))][:2] == ["U", "V"]


def test_the_fingerprint_changes_with_a_prompt(tmp_path: Path) -> None:
    for name in FIELDS:
        (tmp_path / "en").mkdir(exist_ok=True)
        (tmp_path / "en" / f"{name}.md").write_text("## user\n{facts}", encoding="utf-8")
    first = load_prompts("en", tmp_path).fingerprint
    (tmp_path / "en" / "title.md").write_text("## user\nA title: {facts}", encoding="utf-8")
    assert load_prompts("en", tmp_path).fingerprint != first


def test_an_unknown_llm_is_refused() -> None:
    with (
        pytest.raises(UserError, match=r"llm.name=opnai .*Did you mean 'openai'"),
        open_writer(settings("openai", name="opnai")),
    ):
        pass
