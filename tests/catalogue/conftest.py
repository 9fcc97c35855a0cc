"""A real HTTP server on a free port that answers as badly as it is told, request by request."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

Answer = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    server: "HostileServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": [{"id": "small", "object": "model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.requests)
            self.server.requests.append(request)
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        answers = self.server.answers
        try:
            answers[min(number, len(answers) - 1)](self, request)
        finally:
            with self.server.lock:
                self.server.open -= 1

    def reply(self, status: int, body: Any, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        kind = headers.pop("kind", "application/json")
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class HostileServer(ThreadingHTTPServer):
    """Gives ``answers`` one after the other, then the last one for ever."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[dict[str, Any]] = []
        self.lock, self.open, self.most_open = threading.Lock(), 0, 0
        self.released = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> "HostileServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        pass


def says(content: Any, reason: str = "stop") -> Answer:
    """A proper completion with this content; what is not a string is written as JSON."""
    text = content if content is None or isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": reason, "message": message}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "small", "choices": [choice]}
    return lambda handler, request: handler.reply(200, body)


def status(code: int, **headers: str) -> Answer:
    return lambda handler, request: handler.reply(code, {"error": {"message": f"status {code}"}}, **headers)


def body(text: str, kind: str = "application/json") -> Answer:
    return lambda handler, request: handler.reply(200, text, kind=kind)


def drops(handler: Handler, request: dict[str, Any]) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: Handler, request: dict[str, Any]) -> None:
    """Promise more bytes than come."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choices": [{"mess')
    drops(handler, request)


def hangs(handler: Handler, request: dict[str, Any]) -> None:
    handler.server.released.wait(10)


def drips(handler: Handler, request: dict[str, Any]) -> None:
    """A byte every now and then: no single read ever times out."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")


def refuses(*kinds: str) -> Answer:
    """Refuse these kinds of response_format with 400; otherwise answer with a title."""

    def answer(handler: Handler, request: dict[str, Any]) -> None:
        if request.get("response_format", {}).get("type") in kinds:
            status(400)(handler, request)
        else:
            says({"title": "Navy Dress"})(handler, request)

    return answer


def slowly(answer: Answer, seconds: float = 0.02) -> Answer:
    def slow(handler: Handler, request: dict[str, Any]) -> None:
        time.sleep(seconds)
        answer(handler, request)

    return slow


@pytest.fixture
def hostile() -> SimpleNamespace:
    """The server's class and what it can be told to answer."""
    answers = (says, status, body, drops, half, hangs, drips, refuses, slowly)
    return SimpleNamespace(Server=HostileServer, **{answer.__name__: answer for answer in answers})
