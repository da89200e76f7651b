"""A local rollout server without a model: it speaks the wire protocol, answers from a list, and misbehaves on request."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from videoperceiver.training.engines.wire import PROTOCOL, SampleReply, SampleRequest, WeightsPart

MODES = ("ok", "dies", "hangs", "trickles", "garbage", "error", "too_few", "too_many", "empty", "long", "past_stop", "media", "vocabulary", "nan", "positive")


class StandIn:
    """Serves while it is open.

    Args:
        mode: "ok" or how /sample misbehaves.
        lora_rank, dtype: what /health says.
        good: requests that are answered well before it misbehaves.

    Attributes:
        url: for engine.servers.
        requests: what /sample was asked.
        parts: what /weights was given.
        version: number of its weights, as a server would count.
        stale: requests for other weights than these.
    """

    def __init__(self, mode: str = "ok", lora_rank: int = 0, dtype: str = "float32", good: int = 0):
        assert mode in MODES, mode
        self.lora_rank, self.dtype, self.version = lora_rank, dtype, 0
        self._mode, self._good = mode, good
        self.requests: list[SampleRequest] = []
        self.parts: list[WeightsPart] = []
        self.stale = 0
        self._ended = threading.Event()

    def __enter__(self) -> "StandIn":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.standin, self._server.daemon_threads = self, True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def mode(self) -> str:
        return self._mode if len(self.requests) >= self._good else "ok"

    def health(self) -> dict:
        return {"protocol": PROTOCOL, "version": self.version, "engine": "standin", "lora_rank": self.lora_rank, "dtype": self.dtype}

    def weights(self, body: bytes) -> bytes:
        part = WeightsPart.from_bytes(body)
        self.parts.append(part)
        self.version = part.version if part.last else -1
        return b"{}"

    def sample(self, body: bytes) -> bytes:
        request = SampleRequest.from_bytes(body)
        mode = self.mode
        self.requests.append(request)
        self.stale += request.version != self.version
        s = request.sampling
        allowed = [i for i in range(20, 40) if i not in {*s.media_ids, *s.stop_ids}]
        count = s.num_generations + {"too_few": -1, "too_many": 1}.get(mode, 0)

        def one(seed: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng(seed)
            ids = np.asarray([*rng.choice(allowed, s.max_new_tokens - 1), s.stop_ids[0]])
            logps = -rng.random(len(ids)).astype(np.float32)
            if mode == "empty":
                return ids[:0], logps[:0]
            if mode == "long":
                return np.repeat(ids, 2)[::-1].copy(), np.repeat(logps, 2)
            ids[0] = {"media": s.media_ids[0], "vocabulary": 10**6, "past_stop": s.stop_ids[0]}.get(mode, ids[0])
            logps[-1] = {"nan": np.nan, "positive": 0.5}.get(mode, logps[-1])
            return ids, logps

        return SampleReply([[one(prompt.seed + g) for g in range(count)] for prompt in request.prompts]).to_bytes()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200, json.dumps(self.server.standin.health()).encode())

    def do_POST(self) -> None:
        standin = self.server.standin
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/weights":
            self._answer(200, standin.weights(body))
        elif standin.mode == "dies":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif standin.mode == "hangs":
            standin._ended.wait(60)
        elif standin.mode == "trickles":
            self._trickle(standin)
        elif standin.mode == "garbage":
            self._answer(200, b"<html>a proxy's login page</html>")
        elif standin.mode == "error":
            self._answer(500, json.dumps({"error": "RuntimeError: out of memory"}).encode())
        else:
            self._answer(200, standin.sample(body))

    def _trickle(self, standin: StandIn) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(10**6))
        self.end_headers()
        try:
            while not standin._ended.is_set():
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass  # the client gave up

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass
