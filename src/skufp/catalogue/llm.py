"""Builds a copy writer from the settings of `llm=` (conf/llm/*.yaml as a plain dict)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from skufp.catalogue.checker import Checker
from skufp.catalogue.language_model import LanguageModel
from skufp.catalogue.local_server import LocalServer
from skufp.catalogue.prompt import load_prompts
from skufp.catalogue.template import Template
from skufp.catalogue.writer import CopyWriter
from skufp.errors import UserError, nearest

_MODEL = ("timeout", "retries", "backoff", "temperature", "seed", "max_tokens")


@contextmanager
def open_writer(llm: Mapping[str, Any]) -> Iterator[CopyWriter]:
    """Open the writer ``llm['name']``: template, openai or local; server and client close with it.

    Raises UserError before anything is written if a server does not answer, or a package or a file is missing.
    """
    name, tone, language = llm["name"], llm["tone"], llm["language"]
    template = Template(language, tone)
    if name == "template":
        yield CopyWriter(template)
        return
    if name not in ("openai", "local"):
        raise UserError(f"llm.name={name} is not known.{nearest(name, ('template', 'openai', 'local'))}")
    prompts, checker = load_prompts(language, llm["prompts"]), Checker(language)
    with ExitStack() as stack:
        address = _address(llm, stack)
        model = stack.enter_context(LanguageModel(**address, **{key: llm[key] for key in _MODEL}))
        model.check()
        yield CopyWriter(template, model, checker, prompts, tone, language, llm["patience"])


def _address(llm: Mapping[str, Any], stack: ExitStack) -> dict[str, Any]:
    if llm["name"] == "local":
        server = LocalServer(llm["gguf"], llm["concurrency"], llm["context"], llm["threads"])
        return {"base_url": stack.enter_context(server).base_url, "source": server.identity}
    key = os.environ.get(llm["api_key_env"] or "", "none")
    return {"base_url": llm["base_url"], "model": llm["model"], "api_key": key}
