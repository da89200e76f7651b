"""A rank's watch over the others: without it, a collective waits for a dead rank for half an hour, and nobody says which."""

import json
import logging
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

logger = logging.getLogger(__name__)

BEAT_S = 1.0
GRACE_S = 5.0
"""How long the main thread may take to stop by itself once a rank is known to be gone."""
_CONTINUE = "This run stopped; the same command continues it from the last checkpoint"


class Watch:
    """Gives signs of life to the ranks' store and reads those of the others, in threads of its own.

    Args:
        store: of all ranks.
        rank: this one.
        size: how many there are.
        silence_s: a rank without a sign of life for so long counts as dead.
    """

    def __init__(self, store: dist.Store, rank: int, size: int, silence_s: float):
        self._store, self._rank, self._silence_s = store.clone(), rank, silence_s
        self._others = [other for other in range(size) if other != rank]
        self._beat, self._found, self._machine = 0, "", _machine()
        self._known, self._over = threading.Event(), threading.Event()
        self._heard: dict[int, tuple[int, float]] = {}
        self._before: Any = None
        self._wake, self._woken = self._pipe()
        self._say(None)
        self._checked_s = time.monotonic()
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in ((self._beat_on, "beat"), (self._run, "watch"))]

    def start(self) -> None:
        """Begin to watch; every rank must have been made one before."""
        self._checked_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def leave(self, reason: str) -> None:
        """Tell the others that this rank ends: "" as it should, else why."""
        self._stop()
        if self._before is not None:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, self._before)
        if self._threads[0].is_alive():  # it waits for a store that does not answer, and would have this thread wait too
            return
        try:
            self._say(reason)
            if reason and self._rank == 0:  # the store may live in this process: let the others read why
                self._linger()
        except RuntimeError:
            logger.debug("the ranks' store is gone")

    def verdict(self, wait_s: float) -> str:
        """Who stopped and why, waiting for it up to so many seconds; "" when all seem well. The caller then ends the process itself."""
        self._known.wait(wait_s)
        self._stop()
        return self._found

    def _stop(self) -> None:
        self._over.set()
        os.write(self._woken, b"\0")
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5 * BEAT_S)

    def _beat_on(self) -> None:
        """Talks to the store; a thread of its own, because a store whose process hangs never answers."""
        while not self._over.is_set() and not self._found:
            found = self._check()
            self._found, self._checked_s = self._found or found, time.monotonic()
            self._over.wait(BEAT_S)

    def _run(self) -> None:
        until: float | None = None
        while not self._over.is_set() and (until is None or time.monotonic() < until):
            asked = self._asked_to_end(0.2)
            if not self._found and time.monotonic() - self._checked_s > self._silence_s:
                self._found = f"the ranks' store has not answered for {self._silence_s:g} s: rank 0 or its torchrun is gone or hangs. {_CONTINUE}"
            if self._found:
                self._known.set()
            if until is None and (self._found or asked):
                until = time.monotonic() + GRACE_S
        if not self._over.is_set():  # the main thread waits inside a collective and cannot be reached
            logger.critical("Error: %s", self._found or "stopped by SIGTERM")
            os._exit(1)

    def _check(self) -> str:
        try:
            self._say(None)
            return self._look()
        except RuntimeError as error:
            return f"the ranks' store does not answer any more ({str(error).splitlines()[0]}): rank 0 or its torchrun is gone. {_CONTINUE}"

    def _linger(self) -> None:
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and not all(sign["end"] is not None for sign in self._signs().values()):
            time.sleep(0.1)

    def _say(self, end: str | None) -> None:
        self._beat += 1
        sign = {"beat": self._beat, "end": end, "host": socket.gethostname(), "machine": self._machine, "pid": os.getpid()}
        self._store.set(f"rank/{self._rank}", json.dumps(sign))

    def _signs(self) -> dict[int, dict[str, Any]]:
        texts = self._store.multi_get([f"rank/{other}" for other in self._others])
        return {other: json.loads(text) for other, text in zip(self._others, texts, strict=True)}

    def _look(self) -> str:
        """What is wrong with another rank, "" where nothing is."""
        for other, sign in self._signs().items():
            if found := self._judge(other, sign):
                return f"{found}. {_CONTINUE}"
        return ""

    def _judge(self, other: int, sign: dict[str, Any]) -> str:
        who = f"rank {other} (process {sign['pid']} on {sign['host']})"
        if sign["end"] is not None:
            return f"{who} stopped: {sign['end']}" if sign["end"] else ""
        if self._machine and sign["machine"] == self._machine and _is_gone(sign["pid"]):
            return f"{who} died without a word: it was killed, or ran out of memory"
        beat, since = self._heard.get(other, (-1, 0.0))
        if beat != sign["beat"]:
            self._heard[other] = (sign["beat"], time.monotonic())
        elif time.monotonic() - since > self._silence_s:
            return f"{who} gave no sign of life for {self._silence_s:g} s: it or its machine died, hangs, or cannot be reached"
        return ""

    def _pipe(self) -> tuple[int, int]:
        """A pipe that SIGTERM writes to at once, whatever the main thread waits for: torchrun sends it to the ranks that are left."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            self._before = signal.signal(signal.SIGTERM, lambda *_: None)
        return read, write

    def _asked_to_end(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._wake], [], [], wait_s)
        return bool(ready) and signal.SIGTERM in os.read(self._wake, 64)


def _machine() -> str:
    """What processes share that can see each other's ids: the kernel and its table of processes (containers may share a host's name); "" where unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _is_gone(pid: int) -> bool:
    """Whether a process of this machine has ended, its parent having noticed or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in ("Z", "X")
