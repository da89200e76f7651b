"""Workers as processes of this machine, started as fresh interpreters: no fork of a process full of threads, no second run of the caller's main module."""

import logging
import os
import queue
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import videoperceiver
from videoperceiver.data.executors import MakeWorker, Row
from videoperceiver.data.executors.naming import name_of, raised
from videoperceiver.errors import VideoPerceiverError
from videoperceiver.video.wire import Channel

logger = logging.getLogger(__name__)
TRIES = 3
"""Workers that one task may kill before it is given up."""
_AHEAD = 2
"""Chunks a worker that are under way or done before their turn."""


class _Process:
    """One worker; started when first needed, and again after it died."""

    def __init__(self, make_worker: str, settings: str):
        self._make_worker, self._settings = make_worker, settings
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    @property
    def pid(self) -> int | None:
        process = self._process  # read once: the thread that owns it may end it meanwhile
        return None if process is None else process.pid

    def _start(self) -> Channel:
        if self._channel is not None:
            return self._channel
        root = str(Path(videoperceiver.__file__).parents[1])
        path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        command = [sys.executable, "-P", "-m", "videoperceiver.data.executors.worker"]
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._channel.send({"make_worker": self._make_worker, "settings": self._settings})
        return self._channel

    def answer(self, rows: list[Row]) -> dict[str, Any]:
        """What the worker says. Raises EOFError where it died."""
        channel = self._start()
        channel.send({"rows": rows})
        return channel.receive()

    def end(self) -> str:
        """Ends the process and says how it ended."""
        process, self._process, self._channel = self._process, None, None
        if process is None:
            return "never started"
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()  # a worker whose pipes are closed ends by itself, and its decoders with it
        try:
            status = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def run_in_processes(
    make_worker: MakeWorker, settings: str, chunks: Iterable[list[Row]], *, died: Callable[[Row, str], dict[str, Any]], num_workers: int
) -> Generator[dict[str, Any], None, None]:
    """As `run_tasks`, on this machine."""
    processes = [_Process(name_of(make_worker), settings) for _ in range(num_workers)]
    idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    for process in processes:
        idle.put(process)

    def attend(rows: list[Row]) -> list[dict[str, Any]]:
        process = idle.get()
        try:
            return _answered(process, rows, died)
        finally:
            idle.put(process)

    threads, pending = ThreadPoolExecutor(num_workers, "stage 0"), deque[Future[list[dict[str, Any]]]]()
    try:
        for rows in chunks:
            pending.append(threads.submit(attend, rows))
            if len(pending) > _AHEAD * num_workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        for pid in [pid for process in processes if (pid := process.pid) is not None]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        threads.shutdown(wait=True)
        for process in processes:
            process.end()


def _answered(process: _Process, rows: list[Row], died: Callable[[Row, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """A chunk's outcomes; after a death it is tried again, at last task by task, to find the one that kills."""
    ending = ""
    for attempt in range(TRIES):
        try:
            said = process.answer(rows)
        except EOFError:
            ending = process.end()
            logger.warning("a worker of stage 0 died (%s); its %d clips are done again (try %d of %d)", ending, len(rows), attempt + 2, TRIES)
            time.sleep(0.1 * attempt)
            continue
        if "error" in said:
            raise raised(said["error"])
        return said["outcomes"]
    if not ending:
        raise VideoPerceiverError("a worker of stage 0 gave no answer")
    if len(rows) == 1:
        return [died(rows[0], ending)]
    return [outcome for row in rows for outcome in _answered(process, [row], died)]
