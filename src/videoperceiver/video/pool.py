"""Decoding that can be killed: a hang, a crash or a bomb costs one sample, recorded with its reason, and nothing else.

A decoder cannot be stopped from within (FFmpeg holds the thread), so each worker is a process of its own with a bound on its memory,
killed and replaced at the deadline. Workers are started as fresh interpreters: no fork of a process full of threads and CUDA, no second
run of the caller's main module.
"""

import logging
import os
import queue
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import videoperceiver
from videoperceiver.errors import BudgetError, SampleError, VideoPerceiverError, VideoReadError
from videoperceiver.types import Clip
from videoperceiver.video.source import name_of
from videoperceiver.video.track import NOT_ITS_OWN_TIMES
from videoperceiver.video.wire import Channel, ReadRequest, receive_result, send_request

logger = logging.getLogger(__name__)

__all__ = ["DecodePool", "ReadRequest"]

_START_S = 60.0


class _Worker:
    """One process; started when first needed, and again after it was killed."""

    def __init__(self, deadline_s: float, memory_mb: int):
        self._deadline_s, self._memory_mb = deadline_s, memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self.cpu_s = 0.0

    @property
    def pid(self) -> int | None:
        process = self._process  # read once: the thread that owns it may end it meanwhile
        return None if process is None else process.pid

    def _start(self) -> Channel:
        if self._channel is not None and self._process is not None and self._process.poll() is None:
            return self._channel
        self.end()
        package_root = str(Path(videoperceiver.__file__).parents[1])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
        command = [sys.executable, "-P", "-m", "videoperceiver.video.worker", str(self._memory_mb), str(self._deadline_s)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())
        try:
            channel.receive(time.monotonic() + _START_S)
        except (EOFError, TimeoutError) as error:
            self.end()
            raise VideoPerceiverError(f"a decode worker did not start ({' '.join(command)}); its messages are above on stderr") from error
        self._channel = channel
        return channel

    def answer(self, request: ReadRequest) -> list[Clip] | SampleError:
        """Does what is asked, within the deadline."""
        channel = self._start()
        deadline = time.monotonic() + self._deadline_s
        try:
            send_request(channel, request, deadline)
            result, cpu_s = receive_result(channel, request, deadline)
            self.cpu_s += cpu_s
            if isinstance(result, BudgetError):
                self.end()  # what memory it has left may be in pieces
            if not isinstance(result, SampleError) and request.action == "read" and result[0].assumed:
                logger.warning(NOT_ITS_OWN_TIMES, request.sample_id or result[0].source, result[0].assumed)
            return result
        except TimeoutError:
            self.end()
            reason = f"decoding did not end within {self._deadline_s:g} s and was stopped; raise deadline_s if it is only long"
        except EOFError:
            reason = f"the decoder crashed ({_ending(self.end(wait_s=1))}); the file is damaged or too large for memory_mb={self._memory_mb}"
        return VideoReadError(reason, path=name_of(request.source), sample_id=request.sample_id)

    def end(self, wait_s: float = 0.0) -> int | None:
        """Kills the process; returns its status where it ends by itself within `wait_s`."""
        process, self._process, self._channel = self._process, None, None
        if process is None:
            return None
        status = None
        try:
            status = process.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # stuck inside the kernel (a dead network share): it dies when the kernel lets go
                process.wait(timeout=5)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return status


def _ending(status: int | None) -> str:
    if status is None:
        return "without a status"
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class DecodePool:
    """Reads clips in worker processes, in order, a few ahead of what is consumed.

        with DecodePool(num_workers=4, deadline_s=30, memory_mb=2048) as pool:
            for result in pool.read(ReadRequest(path, {"fps": 2}) for path in paths):
                ...

    Args:
        num_workers: processes, each decoding with one thread.
        deadline_s: seconds after which a clip is given up.
        memory_mb: what decoding one clip may allocate, its frames included.
    """

    def __init__(self, num_workers: int = 2, deadline_s: float = 60.0, memory_mb: int = 4096):
        if num_workers < 1 or deadline_s <= 0 or memory_mb < 1:
            raise ValueError(f"got num_workers={num_workers}, deadline_s={deadline_s}, memory_mb={memory_mb}; expected positive numbers")
        self._workers = [_Worker(deadline_s, memory_mb) for _ in range(num_workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="decode")

    def read(self, requests: Iterable[ReadRequest]) -> Iterator[Clip | SampleError]:
        """A clip or the reason why there is none for each request, in order; at most two a worker are held."""
        pending: deque[Future[Clip | SampleError]] = deque()
        try:
            for request in requests:
                pending.append(self.submit(request))
                if len(pending) > 2 * len(self._workers):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def submit(self, request: ReadRequest) -> Future[Clip | SampleError]:
        """One clip, read when a worker is free."""
        return self._threads.submit(self._read_one, request)

    def ask(self, request: ReadRequest) -> list[Clip]:
        """What any request comes to; waits for it, and raises the SampleError that says why not."""
        answered = self._answer(request)
        if isinstance(answered, SampleError):
            raise answered
        return answered

    def _read_one(self, request: ReadRequest) -> Clip | SampleError:
        answered = self._answer(request)
        return answered if isinstance(answered, SampleError) else answered[0]

    def _answer(self, request: ReadRequest) -> list[Clip] | SampleError:
        worker = self._idle.get()
        try:
            return worker.answer(request)
        finally:
            self._idle.put(worker)

    @property
    def cpu_s(self) -> float:
        """Processor time that the workers have taken."""
        return sum(worker.cpu_s for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are running."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """Ends all workers at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # the threads that wait for them see it and come back
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.end()

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
