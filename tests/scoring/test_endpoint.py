"""The chat client against a local server that misbehaves in every way servers do."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from videoperceiver.errors import ConfigError, EndpointError, MissingExtraError
from videoperceiver.scoring.endpoint import ChatEndpoint, NoAnswerError, _retry_after_s
from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.keywords_llm import SCHEMA, phrases_of
from videoperceiver.scoring.pacing import Pace

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


def drip(handler, body):
    """Valid so far, and never complete; each piece in time."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    handler.close_connection = True


def flood(handler, body):
    """More bytes than any answer has, for as long as they are taken."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**40))
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" " * 2**20)
    except OSError:
        pass
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
        answer("[" * 100_000),
        answer('{"phrases": [NaN]}'),
        answer(raw="{" * 3 + '"a":' * 3),
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


def test_an_answer_that_never_ends_is_left(server):
    server.replies = [drip, answer()]
    began = time.monotonic()
    assert ask(client(server, timeout_s=0.3)) == ("kicks the ball",)
    assert time.monotonic() - began < 2


def test_a_flood_is_not_taken_in(server):
    server.replies = [flood, flood, answer()]
    assert ask(client(server)) == ("kicks the ball",)
    server.replies = [flood]
    with pytest.raises(NoAnswerError, match="more than 16,777,216 bytes"):
        ask(client(server, max_retries=0))


@pytest.mark.parametrize(
    "refusal",
    [
        answer("I'm sorry, but I can't help with that."),
        answer(PHRASES, finish="content_filter"),
        answer(raw=json.dumps({"choices": [{"message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}]})),
    ],
)
def test_a_model_that_refuses_is_not_asked_again(server, refusal):
    server.replies = [refusal]
    with pytest.raises(NoAnswerError, match="refuses"):
        ask(client(server))
    assert len(server.requests) == 1


def test_a_spent_account_stops_at_once(server):
    server.replies = [answer(status=429, raw='{"error": {"code": "insufficient_quota"}}')]
    with pytest.raises(EndpointError, match="no quota left") as caught:
        ask(client(server))
    assert not isinstance(caught.value, NoAnswerError)
    assert len(server.requests) == 1


def test_what_is_wrong_with_one_request_is_told_from_what_is_wrong_with_all(server):
    server.replies = [answer(status=400, raw="unknown model")]
    with pytest.raises(EndpointError, match="got status 400") as caught:
        ask(client(server))
    assert not isinstance(caught.value, NoAnswerError)
    server.replies = [answer(), answer(status=400, raw="context length exceeded"), answer()]
    endpoint = client(server)
    ask(endpoint)
    with pytest.raises(NoAnswerError, match=r"while others are answered.*context length exceeded"):
        ask(endpoint)
    assert ask(endpoint) == ("kicks the ball",)


def test_a_server_that_is_not_there_concerns_every_request():
    with pytest.raises(EndpointError, match="Nothing answers at this address") as caught:
        ask(ChatEndpoint(base_url="http://127.0.0.1:9/v1", model="m", backoff_s=0.01, max_retries=0))
    assert not isinstance(caught.value, NoAnswerError)


@pytest.mark.parametrize("failure", [answer(status=500, raw="oops"), truncated])
def test_a_server_that_answers_nobody_is_told_from_a_request_that_it_cannot_answer(server, failure):
    server.replies = [failure, failure, answer(), failure]
    endpoint = client(server, max_retries=0)
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            ask(endpoint)
    ask(endpoint)
    for _ in range(2):
        with pytest.raises(NoAnswerError):
            ask(endpoint)
    with pytest.raises(EndpointError, match="So did the 2 requests before it, and none was answered") as caught:
        ask(endpoint)
    assert not isinstance(caught.value, NoAnswerError)


def test_answers_that_cannot_be_used_are_answers(server):
    server.replies = [answer("plain words")]
    endpoint = client(server, max_retries=0)
    for _ in range(5):
        with pytest.raises(NoAnswerError):
            ask(endpoint)


def test_what_a_server_counts_is_believed_only_where_it_can_be(server):
    def counted(usage):
        server.replies = [answer(raw=json.dumps({"choices": [{"message": {"content": PHRASES}, "finish_reason": "stop"}], "usage": usage}))]
        endpoint = client(server)
        ask(endpoint)
        return endpoint.ledger.prompt_tokens, endpoint.ledger.answer_tokens

    assert counted({"prompt_tokens": 70, "completion_tokens": 5}) == (70, 5)
    estimated = counted(None)
    assert 50 < sum(estimated) < 500
    for usage in ({"prompt_tokens": -70, "completion_tokens": 5}, {"prompt_tokens": True, "completion_tokens": 5}, {"total_tokens": 1e99}, "many", []):
        assert 50 < sum(counted(usage)) < 500


def test_a_picture_is_not_counted_by_its_bytes(server):
    server.replies = [answer(tokens=None)]
    endpoint = client(server)
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 300_000}}
    endpoint.ask([{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}], SCHEMA, phrases_of)
    assert 1_000 < endpoint.tokens_spent < 1_500


def test_a_try_after_an_unusable_answer_may_be_drawn_otherwise(server):
    server.replies = [answer("plain words"), answer(status=500, raw=""), answer()]
    ask(client(server, retry_temperature=0.5))
    assert [(request["temperature"], request.get("seed")) for request in server.requests] == [(0, None), (0.5, 1), (0.5, 1)]


def test_enough_of_one_is_enough_for_all(server):
    server.replies = [answer(status=429, raw="", headers=[("Retry-After", "0.4")]), answer()]
    endpoint = client(server, num_parallel=1)
    began = time.monotonic()
    ask(endpoint)
    assert 0.4 <= time.monotonic() - began < 2
    assert endpoint._pace._paused_until >= began + 0.4


def test_requests_keep_to_a_rate(server):
    server.replies = [answer()]
    endpoint = client(server, pace=Pace(requests_per_minute=600))
    began = time.monotonic()
    assert len(list(endpoint.ask_many([ASKED] * 5, SCHEMA, phrases_of))) == 5
    assert time.monotonic() - began >= 0.4


def test_each_keeps_order_and_does_not_run_away(server):
    taken, most = [], []
    endpoint = client(server, num_parallel=3)

    def items():
        for i in range(10):
            taken.append(i)
            yield i

    def work(i):
        time.sleep(0.01 * (i % 3))
        return -i

    results = []
    for result in endpoint.each(work, items()):
        most.append(len(taken) - len(results))
        results.append(result)
    assert results == [-i for i in range(10)]
    assert max(most) <= 3


def test_what_waits_for_its_next_try_gives_up_when_the_run_stops(server):
    server.replies = [answer(status=401, raw="bad key"), answer(status=503, raw="", headers=[("Retry-After", "60")])]
    endpoint = client(server, num_parallel=2)
    began = time.monotonic()
    with pytest.raises(EndpointError):
        list(endpoint.ask_many([ASKED, [{"role": "user", "content": "other"}]], SCHEMA, phrases_of))
    assert time.monotonic() - began < 10


def test_what_waits_for_its_turn_gives_up_too_and_the_next_run_does_not(server):
    server.replies = [answer(status=401, raw="bad key"), answer(status=503, raw=""), answer()]
    endpoint = client(server, num_parallel=2, pace=Pace(requests_per_minute=1))
    began = time.monotonic()
    with pytest.raises(EndpointError):
        list(endpoint.ask_many([ASKED, [{"role": "user", "content": "other"}]], SCHEMA, phrases_of))
    assert time.monotonic() - began < 10
    assert len(server.requests) == 1
    endpoint._pace = Pace()
    assert ask(endpoint) == ("kicks the ball",)  # tried again, after a 503


def test_what_stops_the_run_ends_the_waiting_of_those_before_it(server):
    server.replies = [answer(status=401, raw="bad key")]
    endpoint = client(server, num_parallel=2)

    def work(item):
        if item == "second":
            return ask(endpoint)
        endpoint._rest(30)
        return None

    began = time.monotonic()
    with pytest.raises(EndpointError, match="401"):
        list(endpoint.each(work, ["first", "second"]))
    assert time.monotonic() - began < 20


def test_a_kept_answer_that_no_longer_fits_is_asked_for_again(server, tmp_path):
    server.replies = [answer('{"words": ["old"]}'), answer()]
    client(server, cache_folder=tmp_path).ask(ASKED, SCHEMA, lambda found: found["words"])
    endpoint = client(server, cache_folder=tmp_path)
    assert ask(endpoint) == ("kicks the ball",)
    assert (endpoint.cache_hits, len(server.requests)) == (0, 2)
    assert ask(endpoint) == ("kicks the ball",)
    assert (endpoint.cache_hits, len(server.requests)) == (1, 2)


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


@pytest.mark.parametrize(
    ("header", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("nan", 0.0)]
)
def test_retry_after(header, seconds):
    assert _retry_after_s(header) == seconds
