"""A client of OpenAI-compatible servers: one request gives one checked JSON value, or a ModelError."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from skufp.catalogue.metadata import answer_schema, tidied, valid_field
from skufp.catalogue.prompt import Messages
from skufp.errors import UserError

# Response formats for JSON, strictest first. After a refusal the next format is used from then on.
MODES = ("json_schema", "json_object", "plain")
_REFUSES_FORMAT = (400, 404, 415, 422, 500, 501)
_TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 30.0
AGAIN_WARMER = 0.5


class ModelError(Exception):
    """No usable answer. ``kind``: down, slow, limit, server, refused, empty, length, garbage or schema."""

    def __init__(self, kind: str, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.kind, self.pause = kind, pause


class LanguageModel:
    """Requests one field at a time, from any number of threads.

    Temperature 0 and a seed make answers repeatable as far as the server allows. ``timeout`` bounds a whole request in
    seconds, however slowly its bytes arrive. Temporary errors (no connection, 408, 429, 5xx, a broken body) are retried
    ``retries`` times, after ``backoff`` seconds, then twice that, …, or after Retry-After, up to 30 seconds.
    ``source`` identifies the model where the address does not: the file of our own server.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        api_key: str = "none",
        timeout: float = 60.0,
        retries: int = 3,
        backoff: float = 0.5,
        temperature: float = 0.0,
        seed: int = 0,
        max_tokens: int = 400,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise UserError("llm=openai and llm=local need the openai client: pip install 'skufp[openai]'") from error
        self.base_url, self.model, self.timeout = base_url.rstrip("/"), model, timeout
        self.retries, self.backoff = retries, backoff
        self.sampling = {"temperature": temperature, "seed": seed}
        self.max_tokens, self.source = max_tokens, dict(source or {})
        self.mode = MODES[0]
        self._openai = openai
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="language-model", daemon=True)
        self._thread.start()
        # We retry ourselves: the client's own retries would not stop at the timeout.
        self._client = openai.AsyncOpenAI(base_url=self.base_url, api_key=api_key, timeout=timeout, max_retries=0)

    def __enter__(self) -> "LanguageModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and end the thread that talks to the server."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(self.timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def identity(self) -> dict[str, Any]:
        """The inputs of its answers, for cache keys: the model and its server, or our own file, and sampling."""
        served = self.source or {"base_url": self.base_url, "model": self.model}
        return {**served, **self.sampling, "max_tokens": self.max_tokens}

    def check(self) -> str:
        """Return the model's name in the server's list; UserError if no server answers or the name is not listed."""
        try:
            listed = self._retried(lambda: self._client.models.list())
            names = [str(entry.id) for entry in listed.data]
        except ModelError as error:
            raise UserError(
                f"{self.base_url} does not answer ({error}). Start its server (LM Studio, Ollama, vLLM, llama.cpp), set"
                " llm.base_url=http://…/v1, or use llm=local or llm=template"
            ) from error
        except (AttributeError, TypeError) as error:
            raise UserError(
                f"{self.base_url} is no OpenAI-compatible server: {self.base_url}/models lists no models. Set"
                " llm.base_url=http://…/v1 (the path matters)"
            ) from error
        if self.model and names and self.model not in names:
            raise UserError(f"llm.model={self.model}: {self.base_url} has {', '.join(names)}")
        if not (self.model or names):
            raise UserError(f"{self.base_url} has no model loaded: load one, or name it with llm.model=…")
        self.model = self.model or names[0]
        return self.model

    def ask(self, name: str, messages: Messages, parts: Sequence[str] = (), room: float = 1.0, attempt: int = 0) -> Any:
        """Return the model's text of the field ``name``, tidied and valid by the schema.

        ``parts`` are those of answer_schema, ``room`` multiplies the limit of tokens. A second ``attempt`` has another
        seed and a temperature higher by AGAIN_WARMER: at 0 a small model repeats its answer. Raises ModelError.
        """
        schema = answer_schema(name, parts)
        while True:
            mode = self.mode
            try:
                reply = self._retried(lambda mode=mode: self._request(schema, messages, room, mode, attempt))  # type: ignore[misc]
            except ModelError as error:
                if error.kind in ("refused", "server") and mode != MODES[-1] and self._refused_format(error):
                    if self.mode == mode:  # another thread may have been here first
                        self.mode = MODES[MODES.index(mode) + 1]
                    continue
                raise
            return _read(name, reply)

    @staticmethod
    def _refused_format(error: ModelError) -> bool:
        return getattr(error.__cause__, "status_code", None) in _REFUSES_FORMAT

    def _request(self, schema: dict[str, Any], messages: Messages, room: float, mode: str, attempt: int) -> Any:
        (name,) = schema["properties"]
        formats: dict[str, dict[str, Any]] = {
            "json_schema": {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
            "json_object": {"type": "json_object", "schema": schema},
        }
        arguments: dict[str, Any] = {"model": self.model or "default", "messages": messages, **self.sampling}
        if attempt:
            arguments["temperature"] += AGAIN_WARMER
            arguments["seed"] += attempt
        arguments["max_tokens"] = int(self.max_tokens * room)
        if mode in formats:
            arguments["response_format"] = formats[mode]
        return self._client.chat.completions.create(**arguments)

    def _retried(self, request: Callable[[], Any]) -> Any:
        for attempt in range(self.retries + 1):
            try:
                return self._once(request)
            except ModelError as error:
                if error.kind == "refused" or attempt == self.retries:
                    raise
                threading.Event().wait(min(max(self.backoff * 2**attempt, error.pause), _LONGEST_PAUSE))
        raise AssertionError("unreachable")

    def _once(self, request: Callable[[], Any]) -> Any:
        """Run one request to its end or its timeout, and turn its errors into ModelErrors."""

        async def bounded() -> Any:
            async with asyncio.timeout(self.timeout):
                return await request()

        openai, future = self._openai, None
        if self._loop.is_closed():  # Ctrl-C, while another thread still sends requests
            raise ModelError("refused", "the client is closed")
        try:
            future = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
            return future.result()
        except (TimeoutError, openai.APITimeoutError) as error:
            raise ModelError("slow", f"no answer within {self.timeout:g} s") from error
        except openai.APIStatusError as error:
            raise _by_status(error.status_code, error.message, error.response.headers) from error
        except openai.APIConnectionError as error:
            raise ModelError("down", f"no connection: {error.__cause__ or error}") from error
        except (openai.OpenAIError, ValueError) as error:  # a body that is not JSON, or truncated
            raise ModelError("garbage", f"the answer is no JSON: {_short(str(error))}") from error
        except KeyboardInterrupt:
            _cancel(future)
            raise


def _cancel(future: "Future[Any] | None") -> None:
    if future is not None:
        future.cancel()


def _by_status(status: int, message: str, headers: Mapping[str, str]) -> ModelError:
    reported = f"HTTP {status}: {_short(message)}"
    if status == 429:
        try:
            pause = float(headers.get("retry-after", "0"))
        except ValueError:  # a date: rare, and the back-off does
            pause = 0.0
        return ModelError("limit", reported, pause)
    return ModelError("server" if status in _TRY_AGAIN else "refused", reported)


def _read(name: str, reply: Any) -> Any:
    """Return the field in a completion; raise the fitting ModelError for any other reply."""
    try:
        choice = reply.choices[0]
        text, reason = choice.message.content, choice.finish_reason
    except (AttributeError, TypeError, IndexError) as error:
        raise ModelError("garbage", f"the answer is no chat completion: {_short(str(reply))}") from error
    if reason == "length":
        raise ModelError("length", "the answer was cut off: be shorter")
    if not isinstance(text, str) or not text.strip():
        raise ModelError("empty", "the answer is empty")
    answer = _json_object(text.rpartition("</think>")[2])
    if answer is None:
        raise ModelError("schema", f'the answer must be JSON like {{"{name}": …}}, not: {_short(text)}')
    if name not in answer:
        raise ModelError("schema", f'the JSON must have "{name}", not {", ".join(map(str, answer)) or "nothing"}')
    try:
        return valid_field(name, tidied(name, answer[name]))
    except ValueError as error:
        raise ModelError("schema", _short(str(error))) from error


def _json_object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in ``text``, which may be surrounded by prose or in a code fence."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        return value if isinstance(value, dict) else None
    return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:119] + "…"
