"""A client for OpenAI-compatible chat endpoints that answers in JSON or says why not.

Base URL, model and key come from the environment (OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY); URL and model may be given instead, the key may not,
so that it reaches no recipe, run folder, log or message.
"""

import hashlib
import json
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from videoperceiver.errors import ConfigError, EndpointError
from videoperceiver.scoring.answer_cache import AnswerCache
from videoperceiver.scoring.extras import require

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)
T = TypeVar("T")
Messages = Sequence[Mapping[str, Any]]
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_WAIT_S = 60.0
_SHOWN_CHARS = 300
_CHARS_A_TOKEN = 3


class NoAnswerError(EndpointError):
    """One request found no usable answer after all tries; others may."""


class ChatEndpoint:
    """Asks a chat model for JSON of a given schema; retries, caches and counts what it costs.

    Args:
        base_url: up to and including "/v1"; else OPENAI_BASE_URL.
        model: the server's name of it; else OPENAI_MODEL.
        timeout_s: for each phase of one request (connect, send, wait for bytes).
        max_retries: further tries after a transient failure or a malformed answer.
        backoff_s: wait before the first retry; doubles with each, with jitter; the server's Retry-After wins, up to a minute.
        max_answer_tokens: limit of one answer.
        token_budget: no request is sent once this many tokens were spent (prompts and answers; estimated where the server does not count).
        cache_folder: answers by request; None = no cache.
        num_parallel: requests in flight in `ask_many`.

    Raises:
        ConfigError: no URL or model, or a URL that carries credentials.
    """

    def __init__(
        self,
        *,
        base_url: str = "",
        model: str = "",
        timeout_s: float = 60.0,
        max_retries: int = 5,
        backoff_s: float = 1.0,
        max_answer_tokens: int = 512,
        token_budget: int = 10_000_000,
        cache_folder: str | os.PathLike[str] | None = None,
        num_parallel: int = 8,
    ):
        httpx = require("httpx", extra="text", purpose="a chat endpoint")
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL", "")).rstrip("/")
        self.model = model or os.environ.get("OPENAI_MODEL", "")
        if not self.base_url or not self.model:
            raise ConfigError("a chat endpoint needs a base URL and a model: set OPENAI_BASE_URL and OPENAI_MODEL, or base_url= and model=")
        if httpx.URL(self.base_url).userinfo:
            raise ConfigError("the endpoint's base URL holds a user name or password; remove it and put the key into OPENAI_API_KEY")
        self._key = os.environ.get("OPENAI_API_KEY", "")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx.Client(timeout=timeout_s, headers=headers)
        weakref.finalize(self, self._client.close)
        self._retriable = (httpx.TransportError,)  # timeouts, refused and broken connections, truncated bodies
        self._max_retries, self._backoff_s = max_retries, backoff_s
        self._max_answer_tokens, self._token_budget = max_answer_tokens, token_budget
        self._cache = AnswerCache(cache_folder)
        self._num_parallel = num_parallel
        self._lock = threading.Lock()
        self.tokens_spent = 0

    def ask(self, messages: Messages, schema: Mapping[str, Any], parse: Callable[[Any], T]) -> T:
        """One answer.

        Args:
            messages: in the chat format, images included where the model takes them.
            schema: JSON schema that the server is asked to keep to.
            parse: turns the decoded JSON into the result; raises ValueError, LookupError, TypeError or AttributeError where it does not fit, which is retried.

        Raises:
            NoAnswerError: no usable answer after all tries.
            EndpointError: a refusal that a retry cannot mend, or the budget is spent.
        """
        payload = self._payload(messages, schema)
        key = hashlib.sha256(json.dumps([self.base_url, payload], sort_keys=True).encode()).hexdigest()
        if (cached := self._cache.get(key)) is not None:
            return parse(cached)
        problem, advice_s = "", None
        for attempt in range(self._max_retries + 1):
            if attempt:
                wait_s = self._wait_s(attempt, advice_s)
                logger.info("%s: %s; try %d of %d in %.1f s", self.base_url, problem, attempt + 1, self._max_retries + 1, wait_s)
                time.sleep(wait_s)
            self._check_budget()
            try:
                content = self._content(self._send(payload), payload)
                answer = parse(content)
            except _Transient as error:
                problem, advice_s = self._redacted(str(error)), error.retry_after_s
                continue
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                problem, advice_s = self._redacted(f"an answer that does not fit the schema ({error!r})"), None
                continue
            self._cache.put(key, content)
            return answer
        raise NoAnswerError(
            f"{self.base_url}: gave up on model {self.model!r} after {self._max_retries + 1} tries; the last one got {problem}. "
            "Check the server, or raise timeout_s, max_retries or max_answer_tokens"
        )

    def ask_many(self, conversations: Sequence[Messages], schema: Mapping[str, Any], parse: Callable[[Any], T]) -> Iterator[T]:
        """Answers in order, several requests at a time; raises as `ask` does, at the answer concerned."""
        with ThreadPoolExecutor(self._num_parallel) as pool:
            futures = [pool.submit(self.ask, messages, schema, parse) for messages in conversations]
            try:
                for future in futures:
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()

    def _payload(self, messages: Messages, schema: Mapping[str, Any]) -> dict[str, Any]:
        response_format = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)}}
        return {
            "model": self.model,
            "messages": [dict(message) for message in messages],
            "temperature": 0,
            "max_tokens": self._max_answer_tokens,
            "response_format": response_format,
        }

    def _send(self, payload: Mapping[str, Any]) -> "httpx.Response":
        try:
            response = self._client.post(f"{self.base_url}/chat/completions", json=payload)
        except self._retriable as error:
            raise _Transient(f"{type(error).__name__} ({error})") from error
        if response.status_code in _TRANSIENT:
            raise _Transient(f"status {response.status_code}: {response.text[:_SHOWN_CHARS]!r}", _retry_after_s(response.headers.get("Retry-After", "")))
        if response.status_code != 200:
            raise EndpointError(
                f"{self.base_url}: got status {response.status_code}, expected 200: {self._redacted(response.text[:_SHOWN_CHARS])!r}. "
                "Check the URL, the model's name, OPENAI_API_KEY, and whether the server knows response_format json_schema"
            )
        return response

    def _content(self, response: "httpx.Response", payload: Mapping[str, Any]) -> Any:
        """The JSON inside the answer's text; what it cost is counted whether or not it can be used."""
        body = response.json()
        usage = body.get("usage") if isinstance(body, dict) else None
        spent = usage.get("total_tokens") if isinstance(usage, dict) else None
        with self._lock:
            self.tokens_spent += spent if isinstance(spent, int) else (len(json.dumps(payload)) + len(response.text)) // _CHARS_A_TOKEN
        return self._answer(body)

    def _answer(self, body: Any) -> Any:
        """What of the decoded response is parsed and cached."""
        choice = body["choices"][0]
        if choice.get("finish_reason") == "length":
            raise ValueError(f"cut off after {self._max_answer_tokens} tokens")
        return json.loads(choice["message"]["content"])

    def _check_budget(self) -> None:
        if self.tokens_spent >= self._token_budget:
            raise EndpointError(f"{self.base_url}: spent {self.tokens_spent} tokens, the budget is {self._token_budget}; raise token_budget to go on")

    def _wait_s(self, attempt: int, advice_s: float | None) -> float:
        if advice_s is not None:
            return min(advice_s, _LONGEST_WAIT_S)
        return min(self._backoff_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25), _LONGEST_WAIT_S)

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class _Transient(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, retry_after_s: float | None = None):
        super().__init__(reason)
        self.retry_after_s = retry_after_s


def _retry_after_s(header: str) -> float | None:
    """Seconds of a Retry-After header; None where it is absent or a date."""
    try:
        return max(0.0, float(header))
    except ValueError:
        return None
