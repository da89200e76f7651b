"""A rollout server: vLLM in an environment of its own, asked by trainers over HTTP.

    python -m videoperceiver.training.engines.vllm_server CHECKPOINT --port 8100

GET /health says what it is, POST /sample draws completions, POST /weights replaces weights; bodies are those of `wire.py`. One request at a time: the
model is one. Bound to loopback unless a token (VIDEOPERCEIVER_ENGINE_TOKEN) guards it.
"""

import argparse
import hmac
import json
import logging
import os
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from torch import Tensor

from videoperceiver.errors import ConfigError
from videoperceiver.training.engines.vllm_model import Refused, VllmModel
from videoperceiver.training.engines.wire import PROTOCOL, TOKEN, SampleRequest, WeightsPart, WireError

logger = logging.getLogger(__name__)

LARGEST_BODY = 8 * 2**30
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SILENT_S = 120.0
"""A client that sends nothing for so long is dropped: the next one waits."""


class Service:
    """The model, the number of its weights, and the parts of the next ones.

    Args:
        model: asked under one lock: the server is single-threaded.
        about: what /health says beside the state.
    """

    def __init__(self, model: VllmModel, about: Mapping[str, Any]):
        self.model, self.about = model, dict(about)
        self.version = 0  # 0 = the checkpoint's own weights
        self._parts: dict[str, Tensor] = {}
        self._receiving = 0

    def health(self) -> dict[str, Any]:
        """What runs here."""
        return {"protocol": PROTOCOL, "version": self.version, **self.about}

    def sample(self, body: bytes) -> bytes:
        """Completions under the weights that the trainer means.

        Raises:
            Refused: the weights here are others.
        """
        request = SampleRequest.from_bytes(body)
        if request.version != self.version:
            raise Refused(
                f"got a request for weights number {request.version}, these are number {self.version}: the server was restarted, or serves another run too"
            )
        reply = self.model.sample(request)
        return reply.to_bytes()

    def weights(self, body: bytes) -> bytes:
        """Takes a part; with the last one the model changes."""
        part = WeightsPart.from_bytes(body)
        if part.version != self._receiving:  # a trainer that died half-way left its parts here
            self._parts, self._receiving = {}, part.version
        self._parts |= part.tensors
        if part.last:
            parts, self._parts = self._parts, {}
            self.version = -1  # until it succeeds, these are nobody's weights
            if part.adapter is None:
                self.model.load(parts.items())
            else:
                self.model.load_adapter(parts, part.adapter)
            self.version = part.version
        return b"{}"


class Handler(BaseHTTPRequestHandler):
    """HTTP around a Service, which the server carries."""

    timeout = SILENT_S
    server: "Server"

    def do_GET(self) -> None:
        """/health."""
        if not self._allowed():
            return
        if self.path == "/health":
            self._answer(200, json.dumps(self.server.service.health()).encode())
        else:
            self._answer(404, b'{"error": "no such path; expected /health, /sample or /weights"}')

    def do_POST(self) -> None:
        """/sample and /weights."""
        if not self._allowed():
            return
        work = {"/sample": self.server.service.sample, "/weights": self.server.service.weights}.get(self.path)
        length = int(self.headers.get("Content-Length") or -1)
        if work is None or not 0 < length <= LARGEST_BODY:
            self._answer(404 if work is None else 413, json.dumps({"error": f"got {self.path} with {length} bytes"}).encode())
            return
        try:
            self._answer(200, work(self.rfile.read(length)))
        except (Refused, WireError) as error:
            self._answer(409, json.dumps({"error": str(error)}).encode())
        except (RuntimeError, ValueError, KeyError, AssertionError, OSError, MemoryError) as error:  # vLLM's own failures
            logger.exception("a request failed")
            self._answer(500, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """To the log instead of the terminal."""
        logger.debug(format, *args)

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if not self.server.token or hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            return True
        self._answer(401, json.dumps({"error": f"set {TOKEN} to the server's token"}).encode())
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(HTTPServer):
    """One Service at one address.

    Raises:
        ConfigError: an address beyond this machine without a token.
    """

    def __init__(self, address: tuple[str, int], service: Service, token: str):
        check_address(address[0], token)
        super().__init__(address, Handler)
        self.service, self.token = service, token


def check_address(host: str, token: str) -> None:
    """Raises ConfigError for an address beyond this machine without a token: whoever reaches it could replace the weights."""
    if host not in LOOPBACK and not token:
        raise ConfigError(f"got --host {host}, which others can reach, and no token; set {TOKEN} on server and trainers, or use --host 127.0.0.1")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="videoperceiver.training.engines.vllm_server", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint", help="folder with config.json, weights and processor: the one that stage 2 starts from")
    parser.add_argument("--host", default="127.0.0.1", help=f"another than loopback needs {TOKEN}")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--dtype", default="bfloat16", help="the trainer's model.dtype")
    parser.add_argument("--max-model-len", type=int, default=0, help="longest prompt and completion together; 0 = the checkpoint's")
    parser.add_argument("--memory-share", type=float, default=0.9, help="of the GPU's memory")
    parser.add_argument("--lora-rank", type=int, default=0, help="the trainer's model.lora_rank; 0 = full weights")
    parser.add_argument("--eager", action="store_true", help="without compilation and CUDA graphs")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    token = os.environ.get(TOKEN, "")
    check_address(given.host, token)
    options = {"dtype": given.dtype, "max_model_len": given.max_model_len, "memory_share": given.memory_share}
    model = VllmModel(given.checkpoint, **options, lora_rank=given.lora_rank, eager=given.eager)
    about = {"engine": f"vllm {model.version_of_vllm}", "checkpoint": given.checkpoint, "dtype": given.dtype, "lora_rank": given.lora_rank}
    server = Server((given.host, given.port), Service(model, about), token)
    logger.info("serving %s on http://%s:%d", given.checkpoint, *server.server_address[:2])
    try:
        server.serve_forever()
    finally:
        server.server_close()
        model.close()


if __name__ == "__main__":
    main()
