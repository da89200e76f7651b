"""A process that prepares clips: `python -m videoperceiver.data.executors.worker`, spoken to through its standard input and output."""

import logging
import os
import signal
import sys

from videoperceiver.data.executors.naming import named, told
from videoperceiver.errors import VideoPerceiverError
from videoperceiver.video.wire import Channel


def main() -> None:
    """Answers chunks until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the caller ends its workers
    replies = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not print into the replies
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    channel, worker = Channel(0, replies), None
    try:
        begin = channel.receive()
        while True:
            rows = channel.receive()["rows"]
            try:
                worker = worker or named(begin["make_worker"])(begin["settings"])
                channel.send({"outcomes": worker.answer(rows)})
            except Exception as error:
                if not isinstance(error, VideoPerceiverError):
                    logging.getLogger(__name__).exception("a worker of stage 0 failed")
                channel.send({"error": told(error)})
    except EOFError:
        return
    finally:
        if worker is not None:
            worker.close()


if __name__ == "__main__":
    sys.exit(main())
