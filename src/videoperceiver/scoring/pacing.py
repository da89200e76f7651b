"""Keeping to a server's limits: requests and tokens a minute, and pauses it asks for."""

import threading
import time
from collections.abc import Callable


class Pace:
    """Spreads requests evenly over time, over all threads that share it; without limits it only keeps pauses.

    A request is charged the tokens it is expected to take when it starts, and corrected when it is known what it took.

    Args:
        requests_per_minute: 0 = no limit.
        tokens_per_minute: prompts and answers; 0 = no limit.
        clock: seconds, increasing.
    """

    def __init__(
        self,
        requests_per_minute: float = 0.0,
        tokens_per_minute: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._request_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_s = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next_request = self._next_token = self._paused_until = clock()

    def start(self, expected_tokens: int, sleep: Callable[[float], object] = time.sleep) -> None:
        """Waits until a request may be sent; `sleep` waits for seconds, and may raise to give up."""
        with self._lock:
            at = max(self._clock(), self._next_request, self._next_token)
            self._next_request = at + self._request_s
            self._next_token = at + expected_tokens * self._token_s
        while (wait_s := max(at, self._paused_until) - self._clock()) > 0:
            sleep(wait_s)

    def correct(self, expected_tokens: int, tokens: int) -> None:
        """What a request took in place of what was expected."""
        with self._lock:
            self._next_token += (tokens - expected_tokens) * self._token_s

    def pause(self, seconds: float) -> None:
        """Nothing is sent for so long: the server said that it has enough."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
