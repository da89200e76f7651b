"""What a decode pool and its workers say to each other: a length, a JSON header, raw bytes. Nothing in it can run code."""

import json
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from videoperceiver.errors import BudgetError, SampleError, VideoReadError
from videoperceiver.types import Clip
from videoperceiver.video.source import Source, name_of

_LENGTH = struct.Struct("<I")
_ERRORS = {error.__name__: error for error in (SampleError, VideoReadError, BudgetError)}


@dataclass(frozen=True)
class ReadRequest:
    """Something to do with one video.

    Attributes:
        source: path of a file or folder of images, or a file's bytes.
        options: keyword arguments of the action's function.
        sample_id: for messages.
        action: "read" a clip (`read.read_clip`) or several "views" (`views.read_views`), tell the "times" of its frames (`read.frame_times`: a clip
            without frames), or write a clip that was "cut" out of it or is "copied" out of an archive (`extract`: no clip comes back).
    """

    source: Source
    options: Mapping[str, Any] = field(default_factory=dict)
    sample_id: str | None = None
    action: Literal["read", "views", "times", "cut", "copied"] = "read"


class Channel:
    """Two pipe ends; every wait on the other side ends at a deadline.

    Raises (all methods):
        TimeoutError: the deadline passed.
        EOFError: the other side is gone.
    """

    def __init__(self, read_fd: int, write_fd: int):
        self._read_fd, self._write_fd = read_fd, write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def send(self, header: Mapping[str, Any], *parts: bytes | memoryview, deadline: float | None = None) -> None:
        """Sends a header and raw parts; `deadline` is a time of time.monotonic(), None: wait for ever."""
        text = json.dumps(header).encode()
        for part in (_LENGTH.pack(len(text)), text, *parts):
            view = memoryview(part)
            while view:
                _wait(self._write_fd, deadline, is_write=True)
                try:
                    view = view[os.write(self._write_fd, view[: 2**20]) :]
                except BlockingIOError:  # room for less than a whole page; wait on
                    continue
                except BrokenPipeError as error:
                    raise EOFError("the other side is gone") from error

    def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next header."""
        (length,) = _LENGTH.unpack(bytes(self.receive_bytes(_LENGTH.size, deadline)))
        return json.loads(bytes(self.receive_bytes(length, deadline)))

    def receive_bytes(self, length: int, deadline: float | None = None) -> np.ndarray:
        """The next `length` raw bytes, (length,) uint8."""
        data = np.empty(length, np.uint8)
        view, done = data.data, 0
        while done < length:
            _wait(self._read_fd, deadline, is_write=False)
            count = os.readv(self._read_fd, [view[done:]])
            if count == 0:
                raise EOFError("the other side is gone")
            done += count
        return data


def _wait(fd: int, deadline: float | None, *, is_write: bool) -> None:
    left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
    poll = select.poll()
    poll.register(fd, select.POLLOUT if is_write else select.POLLIN)
    if not poll.poll(None if left_s is None else left_s * 1000):
        raise TimeoutError


def send_request(channel: Channel, request: ReadRequest, deadline: float) -> None:
    """Pool to worker."""
    data = request.source if isinstance(request.source, bytes) else b""
    options = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in request.options.items()}
    path = None if isinstance(request.source, bytes) else os.fsdecode(request.source)
    channel.send({"path": path, "num_bytes": len(data), "options": options, "sample_id": request.sample_id, "action": request.action}, data, deadline=deadline)


def receive_request(channel: Channel) -> ReadRequest:
    """In the worker: the next request."""
    header = channel.receive()
    data = bytes(channel.receive_bytes(header["num_bytes"]))
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in header["options"].items()}
    return ReadRequest(data if header["path"] is None else header["path"], options, header["sample_id"], header["action"])


def send_result(channel: Channel, result: Sequence[Clip] | SampleError, cpu_s: float = 0.0) -> None:
    """Worker to pool, with the processor time that it took."""
    if isinstance(result, SampleError):
        channel.send({"error": type(result).__name__, "reason": result.reason, "path": result.path, "cpu_s": cpu_s})
    else:
        clips = [{"shape": clip.frames.shape, "num_times": len(clip.t_s), "assumed": clip.assumed} for clip in result]
        parts = [part for clip in result for part in (clip.frames.reshape(-1).data, np.ascontiguousarray(clip.t_s).view(np.uint8).data)]
        channel.send({"clips": clips, "cpu_s": cpu_s}, *parts)


def receive_result(channel: Channel, request: ReadRequest, deadline: float) -> tuple[list[Clip] | SampleError, float]:
    """In the pool: the answer to a request, and the processor time that it took."""
    header = channel.receive(deadline)
    if "error" in header:
        return _ERRORS[header["error"]](header["reason"], path=header["path"], sample_id=request.sample_id), header["cpu_s"]
    clips = []
    for clip in header["clips"]:
        frames = channel.receive_bytes(int(np.prod(clip["shape"])), deadline).reshape(clip["shape"])
        t_s = channel.receive_bytes(8 * clip["num_times"], deadline).view(np.float64)
        clips.append(Clip(frames, t_s, name_of(request.source), clip["assumed"]))
    return clips, header["cpu_s"]
