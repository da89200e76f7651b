"""A client for OpenAI-compatible chat endpoints that answers in JSON or says why not.

Base URL, model and key come from the environment (OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY); URL and model may be given instead, the key may not,
so that it reaches no recipe, run folder, log or message.
"""

import hashlib
import json
import logging
import os
import random
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from videoperceiver.errors import ConfigError, EndpointError
from videoperceiver.scoring.answer_cache import AnswerCache
from videoperceiver.scoring.extras import require
from videoperceiver.scoring.pacing import Pace
from videoperceiver.scoring.spending import Ledger

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)
T = TypeVar("T")
Item = TypeVar("Item")
Messages = Sequence[Mapping[str, Any]]
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OF_ONE_REQUEST = frozenset({400, 413, 422})
_UNUSABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_LONGEST_WAIT_S = 60.0
_SHOWN_CHARS = 300
_MOST_SILENT = 3
_MOST_BYTES = 16 * 2**20
_CHARS_A_TOKEN, _TOKENS_AN_IMAGE = 3, 1_000
_REFUSES = re.compile(r"\s*(?:I'm sorry|I am sorry|Sorry|I can(?:'t|not)|I'm (?:unable|not able)|I am (?:unable|not able)|As an AI)\b", re.IGNORECASE)


class NoAnswerError(EndpointError):
    """One request found no usable answer after all tries; others may."""


class ChatEndpoint:
    """Asks a chat model for JSON of a given schema; retries, caches, keeps to rates and budgets, and counts what it costs.

    Args:
        base_url: up to and including "/v1"; else OPENAI_BASE_URL.
        model: the server's name of it; else OPENAI_MODEL.
        timeout_s: for each phase of one request (connect, send, wait for bytes), and for receiving the whole answer once it has begun.
        max_retries: further tries after a transient failure or a malformed answer.
        backoff_s: wait before the first retry; doubles with each, with jitter; the server's Retry-After wins, up to a minute.
        max_answer_tokens: limit of one answer.
        limit_field: what the server calls that limit.
        token_budget: no request is sent once this many tokens were spent (prompts and answers; estimated where the server does not count).
        cache_folder: answers by request; None = no cache.
        num_parallel: requests in flight in `each` and `ask_many`.
        ledger: counts and caps what is spent, in place of `token_budget`.
        pace: keeps to the server's rates; None = only to the pauses it asks for.
        retry_temperature: of tries after an answer that could not be used, which would else be the same again; None = as the first.

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
        limit_field: str = "max_tokens",
        token_budget: int = 10_000_000,
        cache_folder: str | os.PathLike[str] | None = None,
        num_parallel: int = 8,
        ledger: Ledger | None = None,
        pace: Pace | None = None,
        retry_temperature: float | None = None,
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
        self._retriable = (httpx.TransportError, httpx.DecodingError)  # timeouts, refused and broken connections, truncated bodies
        self._unreachable = (httpx.ConnectError, httpx.ConnectTimeout)
        self._timeout_s, self._max_retries, self._backoff_s = timeout_s, max_retries, backoff_s
        self._max_answer_tokens, self._limit_field, self._retry_temperature = max_answer_tokens, limit_field, retry_temperature
        self._cache = AnswerCache(cache_folder)
        self._num_parallel = num_parallel
        self._stopped, self._fatal, self._lock = threading.Event(), "", threading.Lock()
        self._answered, self._silent = False, 0
        self.ledger = ledger or Ledger(token_budget=token_budget)
        self._pace = pace or Pace()
        self.cache_hits = 0

    @property
    def tokens_spent(self) -> int:
        """Prompts and answers so far."""
        return self.ledger.tokens

    def ask(self, messages: Messages, schema: Mapping[str, Any], parse: Callable[[Any], T]) -> T:
        """One answer.

        Args:
            messages: in the chat format, images included where the model takes them.
            schema: JSON schema that the server is asked to keep to.
            parse: turns the decoded JSON into the result; raises ValueError, LookupError, TypeError or AttributeError where it does not fit, which is retried.

        Raises:
            NoAnswerError: no usable answer after all tries, a model that refuses, or a server that refuses this request after it took others.
            EndpointError: a failure that concerns every request (address, key, model's name, quota, a server that answers none of several in a row), or the
                budget is spent.
        """
        payload = self._payload(messages, schema)
        key = hashlib.sha256(json.dumps([self.base_url, payload], sort_keys=True).encode()).hexdigest()
        if (cached := self._cache.get(key)) is not None:
            try:
                answer = parse(cached)
            except _UNUSABLE:
                logger.info("%s: a kept answer is no longer usable and is asked for again", self.base_url)
            else:
                self.cache_hits += 1
                return answer
        failure = _Transient("")
        for attempt in range(self._max_retries + 1):
            if attempt:
                self._wait(attempt, failure)
            self._check_budget()
            try:
                content = self._content(self._send(payload), payload)
                answer = parse(content)
            except _Transient as error:
                failure = error
                continue
            except _UNUSABLE as error:
                failure = _Transient(f"an answer that does not fit the schema ({error!r})", answered=True)
                if self._retry_temperature is not None:
                    payload = {**payload, "temperature": self._retry_temperature, "seed": attempt + 1}
                continue
            self._cache.put(key, content)
            return answer
        tries = f"gave up on model {self.model!r} after {self._max_retries + 1} tries; the last one got {self._redacted(str(failure))}"
        if failure.unreachable or self._is_out(failure):
            raise EndpointError(f"{self.base_url}: {tries}. {self._advice(failure)}, then run again")
        raise NoAnswerError(f"{self.base_url}: {tries}. Check the server, or raise timeout_s, max_retries or max_answer_tokens")

    def ask_many(self, conversations: Iterable[Messages], schema: Mapping[str, Any], parse: Callable[[Any], T]) -> Iterator[T]:
        """Answers in order, several requests at a time; raises as `ask` does, at the answer concerned."""
        return self.each(lambda messages: self.ask(messages, schema, parse), conversations)

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
        """Results of `work` in order, `num_parallel` of them at a time and begun ahead of their use; what one raises is raised at its place.

        What stops the run (an error that is not one request's) also ends the waiting of those before it, which raise it too.
        """
        pending: deque[Any] = deque()

        def told(item: Item) -> T:
            try:
                return work(item)
            except EndpointError as error:
                if not isinstance(error, NoAnswerError):
                    self._fatal = self._fatal or str(error)
                    self._stopped.set()
                raise

        try:
            with ThreadPoolExecutor(self._num_parallel) as pool:
                try:
                    for item in items:
                        pending.append(pool.submit(told, item))
                        if len(pending) >= self._num_parallel:
                            yield pending.popleft().result()
                    while pending:
                        yield pending.popleft().result()
                finally:
                    self._stopped.set()  # what waits for its turn or its next try gives up; what is under way is answered, and kept
                    for future in pending:
                        future.cancel()
        finally:
            self._fatal = ""
            self._stopped.clear()

    def _is_out(self, failure: "_Transient") -> bool:
        """Whether several requests in a row got no answer at all after all their tries: then it is not the requests."""
        if failure.answered:
            return False
        with self._lock:
            self._silent += 1
            return self._silent >= _MOST_SILENT

    def _advice(self, failure: "_Transient") -> str:
        if failure.unreachable:
            return "Nothing answers at this address: start the server or correct the URL"
        return f"So did the {self._silent - 1} requests before it, and none was answered: wait until the server works again, or raise timeout_s"

    def _wait(self, attempt: int, failure: "_Transient") -> None:
        wait_s = self._wait_s(attempt, failure.retry_after_s)
        problem = self._redacted(str(failure))
        logger.info("%s: %s; try %d of %d in %.1f s", self.base_url, problem, attempt + 1, self._max_retries + 1, wait_s)
        if failure.retry_after_s is not None:
            self._pace.pause(wait_s)  # for the other threads too
        self._rest(wait_s)

    def _rest(self, seconds: float) -> None:
        """Waits; raises NoAnswerError where the run stops meanwhile, or what stopped it."""
        if self._stopped.wait(seconds):
            if self._fatal:
                raise EndpointError(self._fatal)
            raise NoAnswerError(f"{self.base_url}: not asked any more, since the run stops")

    def _payload(self, messages: Messages, schema: Mapping[str, Any]) -> dict[str, Any]:
        response_format = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)}}
        return {
            "model": self.model,
            "messages": [dict(message) for message in messages],
            "temperature": 0,
            self._limit_field: self._max_answer_tokens,
            "response_format": response_format,
        }

    def _send(self, payload: Mapping[str, Any]) -> str:
        """The body of a response that is an answer."""
        expected = _estimate(payload) + self._max_answer_tokens // 2
        self._pace.start(expected, self._rest)
        try:
            with self._client.stream("POST", f"{self.base_url}/chat/completions", json=payload) as response:
                body = self._received(response)
        except self._retriable as error:
            self._pace.correct(expected, 0)
            raise _Transient(f"{type(error).__name__} ({error})", unreachable=isinstance(error, self._unreachable)) from error
        if response.status_code != 200:
            self._pace.correct(expected, 0)
            raise self._failure(response, body[:_SHOWN_CHARS].decode(errors="replace"))
        self._answered, self._silent = True, 0
        text = body.decode()
        self._pace.correct(expected, sum(_usage(text, payload)))
        return text

    def _received(self, response: "httpx.Response") -> bytes:
        """The body, of bounded size and within bounded time: a server may send a little for ever."""
        body, ends_s = bytearray(), time.monotonic() + self._timeout_s
        for part in response.iter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                raise _Transient(f"an answer of more than {_MOST_BYTES:,} bytes")
            if time.monotonic() > ends_s:
                raise _Transient(f"an answer that was not complete {self._timeout_s:g} s after it had begun")
        return bytes(body)

    def _failure(self, response: "httpx.Response", shown: str) -> Exception:
        """What a status other than 200 means for this request and for all others."""
        status, shown = response.status_code, self._redacted(shown)
        if status == 429 and "insufficient_quota" in shown:
            return EndpointError(f"{self.base_url}: the account has no quota left (status 429: {shown!r}); top it up, or use another key")
        if status in _TRANSIENT:
            return _Transient(f"status {status}: {shown!r}", _retry_after_s(response.headers.get("Retry-After", "")))
        if status in _OF_ONE_REQUEST and self._answered:
            return NoAnswerError(f"{self.base_url}: status {status} for this request, while others are answered: {shown!r}. It may be too long, or not allowed")
        return EndpointError(
            f"{self.base_url}: got status {status}, expected 200: {shown!r}. "
            "Check the URL, the model's name, OPENAI_API_KEY, and whether the server knows response_format json_schema"
        )

    def _content(self, text: str, payload: Mapping[str, Any]) -> Any:
        """The JSON inside the answer's text; what it cost is counted whether or not it can be used."""
        self.ledger.charge(*_usage(text, payload))
        return self._answer(json.loads(text))

    def _answer(self, body: Any) -> Any:
        """What of the decoded response is parsed and cached."""
        choice = body["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        if reason == "content_filter" or message.get("refusal"):
            raise NoAnswerError(f"{self.base_url}: model {self.model!r} refuses: {self._redacted(str(message.get('refusal') or reason)[:_SHOWN_CHARS])!r}")
        if reason == "length":
            raise ValueError(f"cut off after {self._max_answer_tokens} tokens")
        content = message["content"]
        if _REFUSES.match(content):
            raise NoAnswerError(f"{self.base_url}: model {self.model!r} refuses: {self._redacted(content[:_SHOWN_CHARS])!r}")
        return json.loads(content, parse_constant=_no_number)

    def _check_budget(self) -> None:
        try:
            self.ledger.check()
        except EndpointError as error:
            raise EndpointError(f"{self.base_url}: {error}") from None

    def _wait_s(self, attempt: int, advice_s: float | None) -> float:
        if advice_s is not None:
            return min(advice_s, _LONGEST_WAIT_S)
        return min(self._backoff_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25), _LONGEST_WAIT_S)

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


class _Transient(Exception):
    """A failure that may pass."""

    def __init__(self, reason: str, retry_after_s: float | None = None, *, unreachable: bool = False, answered: bool = False):
        super().__init__(reason)
        self.retry_after_s, self.unreachable, self.answered = retry_after_s, unreachable, answered


def _usage(text: str, payload: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of prompt and answer as the server counts them; estimated where it does not, or says what cannot be."""
    try:
        usage = json.loads(text)["usage"]
    except _UNUSABLE:
        usage = None
    said = {name: _whole(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")} if isinstance(usage, dict) else {}
    prompt, answer, total = said.get("prompt_tokens"), said.get("completion_tokens"), said.get("total_tokens")
    if prompt is not None and answer is not None:
        return prompt, answer
    estimated = len(text) // _CHARS_A_TOKEN
    if total is not None:
        return total - min(estimated, total), min(estimated, total)
    return _estimate(payload), estimated


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else None


def _estimate(payload: Mapping[str, Any]) -> int:
    """Tokens a request will take, from the length of its texts and the number of its pictures."""
    parts = [part for message in payload["messages"] for part in (message["content"] if isinstance(message["content"], list) else [message["content"]])]
    texts = [part if isinstance(part, str) else str(part.get("text", "")) for part in parts]
    texts.append(json.dumps({name: value for name, value in payload.items() if name != "messages"}))
    pictures = sum(not isinstance(part, str) and part.get("type") != "text" for part in parts)
    return sum(map(len, texts)) // _CHARS_A_TOKEN + pictures * _TOKENS_AN_IMAGE


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _retry_after_s(header: str) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date; None where it says nothing."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
