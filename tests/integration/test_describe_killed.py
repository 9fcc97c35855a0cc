"""stage=describe killed at a random moment and started again ends with the bytes of an undisturbed run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from skufp.catalogue.exports import VALIDATORS

UPSTREAM = ("prepare", "retriever", "embed", "teacher", "fingerprint", "index", "attributes")
NOUNS = re.compile(r"\b(t-shirt|top|dress|skirt|trousers|shorts|camisole|tank top|outerwear|jacket)\b")
WORDS = {"title": "{}", "description": "A {0}. This is a {0}.", "style_summary": "A {}."}


class SameAnswers(BaseHTTPRequestHandler):
    """An OpenAI-compatible server whose answer depends on the request alone."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "same"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(0.02)  # so that a kill has something to interrupt
        said = request["messages"][-1]["content"]
        category = [*NOUNS.findall(said), "garment"][-2:][0]  # the last that is named: examples come first
        (name,) = request["response_format"]["json_schema"]["schema"]["properties"]
        value: Any = WORDS[name].format(category) if name in WORDS else [category]
        answer = {"message": {"role": "assistant", "content": json.dumps({name: value})}, "finish_reason": "stop"}
        self._reply({"id": "1", "object": "chat.completion", "created": 0, "model": "same",
                     "choices": [{"index": 0, **answer}]})  # fmt: skip

    def _reply(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SameAnswers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture(scope="module")
def settings(chain: Any) -> list[str]:
    return [*chain.settings, "stage=describe", "data.gallery=[train,dev,validation]"]


@pytest.fixture(scope="module")
def ready(chain: Any, beside: Any, skufp: Any, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything but the description is done."""
    folder = tmp_path_factory.mktemp("ready")
    beside(folder, "prepare", "retriever", "embed", "teacher", "fingerprint")
    result = skufp(*settings, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def fresh(ready: Path, folder: Path) -> Path:
    (folder / "runs").mkdir(parents=True)
    for stage in UPSTREAM:
        (folder / "runs" / stage).symlink_to(ready / "runs" / stage)
    return folder


def exports(folder: Path) -> dict[str, bytes]:
    (made,) = (p.parent for p in (folder / "runs" / "describe").glob("*/manifest.json"))
    return {name: (made / name).read_bytes() for name in (*VALIDATORS, "products.jsonl", "recommendations.json")}


@pytest.mark.slow
@pytest.mark.parametrize("llm", ["template", "openai"])
def test_a_killed_run_ends_with_the_same_bytes(
    llm: str, ready: Path, settings: list[str], address: str, skufp: Any, tmp_path: Path
) -> None:
    arguments = [*settings, f"llm={llm}", *([f"llm.base_url={address}"] if llm == "openai" else [])]
    whole = fresh(ready, tmp_path / "whole")
    assert skufp(*arguments, cwd=whole).returncode == 0
    expected = exports(whole)
    assert llm == "template" or b'": "model"' in expected["products.jsonl"]
    chance = random.Random(llm)
    for attempt in range(2):
        folder = fresh(ready, tmp_path / f"killed{attempt}")
        child = subprocess.Popen(
            [sys.executable, "-m", "skufp", *arguments], cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while child.poll() is None and not list((folder / "cache").rglob("*.json")):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.3 if llm == "template" else 2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        again = skufp(*arguments, cwd=folder)
        assert again.returncode == 0, again.stderr
        assert exports(folder) == expected
