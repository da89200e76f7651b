"""A process that decodes for a pool and can be killed at any moment: `python -m videoperceiver.video.worker MEMORY_MB DEADLINE_S`.

It imports neither torch nor anything else that is slow to start.
"""

import logging
import math
import os
import resource
import signal
import sys
from pathlib import Path

from videoperceiver.errors import BudgetError, SampleError
from videoperceiver.types import Clip
from videoperceiver.video.read import read_clip
from videoperceiver.video.source import name_of
from videoperceiver.video.wire import Channel, ReadRequest, receive_request, send_result

_GRACE_S = 30


def limit_memory(memory_mb: int) -> None:
    """Bounds what this process may allocate beyond what it holds now, where the system allows it (Linux)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        limit = held + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def answer(request: ReadRequest) -> Clip | SampleError:
    """Reads one clip; what is wrong with it is an answer, not an exception."""
    try:
        return read_clip(request.source, num_threads=1, **request.options)
    except SampleError as error:
        return error
    except MemoryError:
        return BudgetError("decoding ran out of memory; raise memory_mb, or read fewer or smaller frames", path=name_of(request.source))


def main() -> None:
    """Answers requests until the pool closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the pool ends its workers
    logging.getLogger("videoperceiver").addHandler(logging.NullHandler())  # the pool says what there is to say
    memory_mb, deadline_s = int(sys.argv[1]), float(sys.argv[2])
    replies = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not print into the replies
    channel = Channel(0, replies)
    limit_memory(memory_mb)
    channel.send({"ready": os.getpid()})
    while True:
        try:
            request = receive_request(channel)
        except EOFError:
            return
        # The pool kills this process at its deadline; should the pool itself be gone by then, the alarm does.
        signal.alarm(math.ceil(deadline_s) + _GRACE_S)
        send_result(channel, answer(request))
        signal.alarm(0)


if __name__ == "__main__":
    main()
