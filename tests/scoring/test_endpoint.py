"""The chat client against a local server that misbehaves in every way servers do."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from videoperceiver.errors import ConfigError, EndpointError, MissingExtraError
from videoperceiver.scoring.endpoint import ChatEndpoint, _retry_after_s
from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.keywords_llm import SCHEMA, phrases_of

KEY = "sk-test-0123456789"
ASKED = [{"role": "user", "content": "A man kicks the ball."}]
PHRASES = '{"phrases": ["Kicks the ball"]}'


class Server:
    """Answers from a script of replies, then keeps giving the last one; records what it was sent."""

    def __init__(self):
        self.replies, self.requests, self._lock = [], [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append({"path": self.path, "authorization": self.headers["Authorization"], **body})
                    reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                reply(self, body)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


def answer(content=PHRASES, *, finish="stop", tokens=40, status=200, headers=(), raw=None):
    def reply(handler, body):
        usage = {"usage": {"total_tokens": tokens}} if tokens is not None else {}
        said = content(body) if callable(content) else content
        text = raw if raw is not None else json.dumps({"choices": [{"message": {"content": said}, "finish_reason": finish}], **usage})
        data = text.encode()
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def truncated(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def hang(handler, body):
    time.sleep(1.0)
    handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def client(server, **options):
    return ChatEndpoint(base_url=server.url, model="tiny", **{"backoff_s": 0.01, "timeout_s": 5, "max_retries": 2, **options})


def ask(endpoint):
    return endpoint.ask(ASKED, SCHEMA, phrases_of)


def test_a_good_answer(server):
    server.replies = [answer()]
    endpoint = client(server)
    assert ask(endpoint) == ("kicks the ball",)
    (request,) = server.requests
    assert (request["path"], request["authorization"], request["model"]) == ("/v1/chat/completions", f"Bearer {KEY}", "tiny")
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert endpoint.tokens_spent == 40


@pytest.mark.parametrize(
    "failure",
    [
        answer(status=429, raw="slow down"),
        answer(status=429, raw="slow down", headers=[("Retry-After", "0.05")]),
        answer(status=500, raw="<html>oops</html>"),
        answer(status=503, raw=""),
        answer(raw="not json"),
        answer(raw='{"choices": []}'),
        answer(raw="[]"),
        answer(raw='{"choices": [null]}'),
        answer("plain words"),
        answer('{"phrases": "kick"}'),
        answer('{"words": []}'),
        answer('{"phrases": ["ki', finish="length"),
        answer(None),
        truncated,
    ],
)
def test_transient_failures_are_retried(server, failure):
    server.replies = [failure, failure, answer()]
    assert ask(client(server)) == ("kicks the ball",)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (answer(status=500, raw=f"bad key {KEY}"), "status 500"),
        (answer("plain words"), "does not fit the schema"),
        (answer("{", finish="length"), "cut off after 512 tokens"),
        (truncated, "RemoteProtocolError"),
    ],
)
def test_lasting_failures_say_what_was_got(server, failure, reason, caplog):
    caplog.set_level(logging.DEBUG)
    server.replies = [failure]
    with pytest.raises(EndpointError, match="gave up on model 'tiny' after 3 tries") as caught:
        ask(client(server))
    assert reason in str(caught.value)
    assert len(server.requests) == 3
    assert KEY not in str(caught.value) + caplog.text


def test_timeouts_are_failures_not_hangs(server):
    server.replies = [hang]
    began = time.monotonic()
    with pytest.raises(EndpointError, match="ReadTimeout"):
        ask(client(server, timeout_s=0.1, max_retries=1))
    assert time.monotonic() - began < 1.5


def test_a_refusal_is_not_retried(server):
    server.replies = [answer(status=401, raw=f"Incorrect API key: {KEY}")]
    with pytest.raises(EndpointError, match=r"status 401.*\[key\].*OPENAI_API_KEY") as caught:
        ask(client(server))
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)


def test_a_redirect_does_not_take_the_key_elsewhere(server):
    server.replies = [answer(status=307, raw="", headers=[("Location", "http://127.0.0.1:9/v1")])]
    with pytest.raises(EndpointError, match="status 307"):
        ask(client(server))


def test_no_server():
    with pytest.raises(EndpointError, match="ConnectError"):
        ask(ChatEndpoint(base_url="http://127.0.0.1:9/v1", model="m", backoff_s=0.01, max_retries=1))


def test_the_budget_is_a_cap(server):
    server.replies = [answer(tokens=60)]
    endpoint = client(server, token_budget=100)
    ask(endpoint), ask(endpoint)
    with pytest.raises(EndpointError, match="spent 120 tokens, the budget is 100"):
        ask(endpoint)
    assert len(server.requests) == 2


def test_answers_that_cannot_be_used_cost_too(server):
    server.replies = [answer("plain words", tokens=70)]
    with pytest.raises(EndpointError, match="the budget is 100"):
        ask(client(server, token_budget=100))
    assert len(server.requests) == 2


def test_a_server_that_does_not_count_is_estimated(server):
    server.replies = [answer(tokens=None)]
    endpoint = client(server)
    ask(endpoint)
    assert 50 < endpoint.tokens_spent < 500


def test_answers_are_cached_by_request(server, tmp_path):
    server.replies = [answer()]
    assert [ask(client(server, cache_folder=tmp_path)) for _ in range(3)] == [("kicks the ball",)] * 3
    assert len(server.requests) == 1
    ask(client(server, cache_folder=tmp_path, max_answer_tokens=99))
    assert len(server.requests) == 2
    (first, _) = sorted(tmp_path.iterdir())
    first.write_text("{")  # a damaged entry is asked for again
    for limit in (512, 99):
        assert ask(client(server, cache_folder=tmp_path, max_answer_tokens=limit)) == ("kicks the ball",)
    assert len(server.requests) == 3
    assert KEY not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_keywords_come_in_order_though_answered_in_parallel(server):
    def echo(body):
        text = body["messages"][0]["content"].rsplit("Text: ", 1)[1]
        time.sleep(0.02 * (3 - int(text) % 4))
        return json.dumps({"phrases": [f"does {text}"]})

    server.replies = [answer(echo)]
    extract = load_keywords("endpoint", base_url=server.url, model="tiny")
    assert extract.name == "endpoint/tiny"
    assert extract([str(i) for i in range(12)]) == [(f"does {i}",) for i in range(12)]


def test_settings_come_from_the_environment(monkeypatch):
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL and OPENAI_MODEL"):
        ChatEndpoint()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    monkeypatch.setenv("OPENAI_MODEL", "m")
    assert (ChatEndpoint().base_url, ChatEndpoint().model) == ("http://127.0.0.1:9/v1", "m")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        ChatEndpoint(base_url="http://user:secret@127.0.0.1/v1")


def test_missing_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(MissingExtraError, match="httpx"):
        ChatEndpoint(base_url="http://127.0.0.1:9/v1", model="m")


@pytest.mark.parametrize(("header", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", None)])
def test_retry_after(header, seconds):
    assert _retry_after_s(header) == seconds
