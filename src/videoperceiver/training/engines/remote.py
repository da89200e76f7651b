"""HTTP to one rollout server, with a deadline that holds, and failures told by the server's name."""

import http.client
import json
import os
import socket
import time
from typing import Any
from urllib.parse import urlsplit

from videoperceiver.errors import ConfigError, EngineError
from videoperceiver.training.engines.wire import PROTOCOL, TOKEN

START = "python -m videoperceiver.training.engines.vllm_server CHECKPOINT --port PORT, in the vLLM environment (docs/rollout-engines.md)"
RETRY_S = 2.0
_SHOWN_CHARS = 500
_CHUNK = 1 << 20


class Remote:
    """One server.

    Args:
        url: http://host:port.
        deadline_s: of a whole request.

    Raises:
        ConfigError: not such a URL.
    """

    def __init__(self, url: str, deadline_s: float):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.username or parts.path.strip("/"):
            raise ConfigError(f"engine.servers: got {url!r}, expected http://host:port and nothing else; a token goes into {TOKEN}")
        self.host, self.port, self.deadline_s = parts.hostname, parts.port or 80, deadline_s
        self.name = f"vllm server {self.host}:{self.port}"

    def wait(self) -> dict[str, Any]:
        """What runs there, once it answers: a server takes its time to load a model.

        Raises:
            EngineError: nothing answers within the deadline, or something else does.
        """
        end = time.monotonic() + self.deadline_s
        while True:
            try:
                about = json.loads(self._request("GET", "/health", b"", end))
                break
            except ConnectionRefusedError as error:
                if time.monotonic() + RETRY_S > end:
                    raise EngineError(self.name, f"nothing listens there after {self.deadline_s:g} s ({error}); start it with {START}") from error
                time.sleep(RETRY_S)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._failure("/health", error) from error
        if not isinstance(about, dict) or about.get("protocol") != PROTOCOL:
            raise EngineError(
                self.name,
                f"got {str(about)[:_SHOWN_CHARS]!r} from /health, expected a rollout server of protocol {PROTOCOL}; start it with {START} of this version",
            )
        return about

    def post(self, path: str, body: bytes) -> bytes:
        """The answer to one request.

        Raises:
            EngineError: no answer, a refusal, or none in time.
        """
        try:
            return self._request("POST", path, body, time.monotonic() + self.deadline_s)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(path, error) from error

    def _failure(self, path: str, error: Exception) -> EngineError:
        if isinstance(error, TimeoutError):
            return EngineError(
                self.name,
                f"no answer to {path} within {self.deadline_s:g} s: it hangs, or needs a larger engine.deadline_s. Look at its log, restart it, resume",
            )
        return EngineError(self.name, f"{path} failed ({type(error).__name__}: {error}): it died, or is no rollout server. Look at its log, restart it, resume")

    def _request(self, method: str, path: str, body: bytes, end: float) -> bytes:
        token = os.environ.get(TOKEN, "")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=max(0.001, end - time.monotonic()))
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
            with connection.getresponse() as response:
                answer = self._read(response, connection.sock, end)
        finally:
            connection.close()
        if response.status != 200:
            raise EngineError(self.name, f"{path} was answered with status {response.status}: {_reason(answer)}")
        return answer

    def _read(self, response: http.client.HTTPResponse, connected: socket.socket | None, end: float) -> bytes:
        """The body; a timeout of the socket alone would let a server that trickles go on for ever."""
        chunks = []
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if connected is not None:
                connected.settimeout(left)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(chunks)


def _reason(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return repr(answer[:_SHOWN_CHARS])
