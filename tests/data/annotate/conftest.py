"""A server that annotates, and misbehaves as it is told to; clips of coloured frames."""

import json

import numpy as np
import pytest
from tests.scoring.test_endpoint import Server

from videoperceiver.scoring.endpoint import ChatEndpoint
from videoperceiver.types import Clip, Sample, Span

KEY = "sk-test-annotate"
TIMES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
GOOD = {
    "caption": "A red ball drops from the table at 1.0 seconds and a dog picks it up at 2.5 seconds.",
    "questions": [
        {"family": "when", "question": "When does the ball drop?", "answer": "1.0 seconds", "wrong_options": ["2.5 seconds", "3.5 seconds", "0.0 s"]},
        {"family": "happens", "question": "Does a cat enter the room?", "answer": "No", "wrong_options": []},
        {"family": "count", "question": "How many times does the ball drop?", "answer": "once", "wrong_options": ["2", "three times", "1"]},
        {
            "family": "which",
            "question": "What does the dog do at 2.5 seconds?",
            "answer": "it picks up the ball",
            "wrong_options": ["it drops the ball", "it leaves the room"],
        },
    ],
}


def sample(number=0, **fields):
    return Sample(f"clip-{number}", f"clip-{number}.mp4", "", "train", "test", (), seed=number, **fields)


def clip(number=0, t_s=TIMES, size=(24, 32)):
    frames = np.zeros((len(t_s), *size, 3), np.uint8)
    frames[..., 0] = np.linspace(0, 255, len(t_s)).astype(np.uint8)[:, None, None]
    frames[..., 1] = number
    return Clip(frames, np.array(t_s), f"clip-{number}.mp4")


def said(answer=GOOD, *, prompt=900, completion=100, status=200, headers=(), raw=None, finish="stop"):
    """A reply of the server: an answer (an object, text, or a function of the request), or raw bytes under a status."""

    def reply(handler, body):
        content = answer(body) if callable(answer) else answer
        content = content if isinstance(content, str) or content is None else json.dumps(content)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        text = raw if raw is not None else json.dumps({"choices": [{"message": {"content": content}, "finish_reason": finish}], "usage": usage})
        data = text.encode()
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def texts_of(body):
    """All text of a request, instructions first."""
    system, user = body["messages"]
    return [system["content"], *(part["text"] for part in user["content"] if part["type"] == "text")]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Backoff of a hundredth of a second, but for what a server asks for."""
    real = ChatEndpoint._wait_s
    monkeypatch.setattr(ChatEndpoint, "_wait_s", lambda self, attempt, advice: real(self, attempt, advice) if advice else 0.01)


SPANS = (
    (2.0, 3.0, "left bottle taken away"),
    (4.0, 5.0, "hand waves"),
    (6.0, 7.0, "left bottle put back"),
    (8.0, 9.0, "hand waves"),
    (10.0, 10.8, "lid falls"),
)


def bottles(number=3):
    """A clip with five events of four labels, one of them twice."""
    return sample(number, spans=tuple(Span(*span) for span in SPANS))
