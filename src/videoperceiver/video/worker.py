"""A process that decodes for a pool and can be killed at any moment: `python -m videoperceiver.video.worker MEMORY_MB DEADLINE_S`.

It imports neither torch nor anything else that is slow to start.
"""

import logging
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from videoperceiver.errors import BudgetError, SampleError
from videoperceiver.types import Clip
from videoperceiver.video.extract import copy_out, cut
from videoperceiver.video.read import read_clip
from videoperceiver.video.source import Source, name_of, reading
from videoperceiver.video.track import open_track
from videoperceiver.video.views import read_views
from videoperceiver.video.wire import Channel, ReadRequest, receive_request, send_result

_GRACE_S = 30


def limit_memory(memory_mb: int) -> None:
    """Bounds what this process may allocate beyond what it holds now, where the system allows it (Linux)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        limit = held + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def answer(request: ReadRequest) -> list[Clip] | SampleError:
    """Does what is asked; what is wrong with the video is an answer, not an exception."""
    source, options = request.source, request.options
    try:
        match request.action:
            case "read":
                return [read_clip(source, num_threads=1, **options)]
            case "views":
                return read_views(source, num_threads=1, **options)
            case "times":
                return [_times(source, **options)]
            case "cut":
                cut(source, **options)
            case "copied":
                copy_out(source, **options)
        return []
    except SampleError as error:
        return error
    except MemoryError:
        return BudgetError("decoding ran out of memory; raise memory_mb, or read fewer or smaller frames", path=name_of(request.source))


def _times(source: Source, frame_fps: float | None = None) -> Clip:
    """When each frame is shown, without frames."""
    with reading(name_of(source)), open_track(source, frame_fps=frame_fps, num_threads=1) as track:
        return Clip(np.empty((0, 0, 0, 3), np.uint8), np.asarray(track.times_s, np.float64), name_of(source), track.assumed)


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
        began_s = time.process_time()
        result = answer(request)
        send_result(channel, result, time.process_time() - began_s)
        signal.alarm(0)


if __name__ == "__main__":
    main()
