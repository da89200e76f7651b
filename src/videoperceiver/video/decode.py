"""Decodes chosen pictures: only the stretches they need, and the same pictures as a full decode gives.

Each chosen picture is decoded from the key picture before it; whole groups of pictures between chosen ones are skipped, and
pictures nothing refers to are skipped inside a group. Where the container stores no presentation times, or a promised
picture does not come, everything is decoded in order instead: slower, never different.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import av
import av.error
import numpy as np

from videoperceiver.errors import VideoReadError
from videoperceiver.video.packets import PacketIndex, PacketReader
from videoperceiver.video.source import MAX_FRAME_PX

_SKIPS_EXACTLY = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
"""Decoders whose non-reference pictures can be left out one by one (compared frame by frame in the tests)."""
_CUT_PICTURES = 2
"""Damage in so many last pictures is a cut-off end, which real files have, and costs those pictures alone."""
_SMALL_PX = 2_000_000
"""Below so many pixels in all, starting decoder threads costs more than they bring."""


@dataclass
class Stretch:
    """Packets start .. stop (in decoding order, stop excluded) that must be fed to get the pictures at `ticks`."""

    start: int
    stop: int
    ticks: list[int]


def plan(index: PacketIndex, ticks: np.ndarray) -> list[Stretch]:
    """The stretches to decode for some pictures.

    A picture stored after a key picture but shown before it (open group of pictures) needs the group before: after a jump,
    decoders give such pictures damaged.

    Args:
        index: of the stream, not ranked.
        ticks: (M,) presentation ticks of the chosen pictures, increasing.
    """
    keys = np.flatnonzero(index.is_key)
    ordinals = index.ordinals(ticks)  # (M,)
    before = np.searchsorted(keys, ordinals, side="right") - 1  # (M,) which key picture is stored last before each
    stretches: list[Stretch] = []
    for ordinal, tick, k in zip(ordinals.tolist(), ticks.tolist(), before.tolist()):
        while k >= 0 and index.pts[keys[k]] > tick:
            k -= 1
        start = int(keys[k]) if k >= 0 else 0
        if stretches and start <= stretches[-1].stop:
            stretches[-1].stop = max(stretches[-1].stop, ordinal + 1)
            stretches[-1].ticks.append(tick)
        else:
            stretches.append(Stretch(start, ordinal + 1, [tick]))
    return stretches


class Decoder:
    """Decodes one stream.

    Args:
        stream: the open container's video stream.
        packets: its packets.
        num_threads: decoder threads, 0: as many as the machine has cores.
    """

    def __init__(self, stream: av.VideoStream, packets: PacketReader, num_threads: int):
        self._context, self._packets, self._num_threads = stream.codec_context, packets, num_threads
        self._index = packets.index
        self._damage: av.error.FFmpegError | None = None

    def frames(self, idx: np.ndarray) -> Iterator[tuple[av.VideoFrame, float]]:
        """The pictures `index.times[idx]` with their times in seconds, in order.

        Pictures that the container promises and that do not come are left out; the caller sees it by their times.

        Args:
            idx: (M,) increasing.

        Raises:
            VideoReadError: damaged before its end.
        """
        ticks = self._index.times[idx]
        if not self._context.is_open:
            self._prepare(len(idx))
        if self._index.is_ranked:
            yield from self._ranked(idx)
            return
        waiting, done = ticks.tolist()[::-1], -(2**63)
        for frame in self._planned(ticks):
            done = waiting.pop()
            yield frame, done * self._index.tick_s
        if waiting:
            yield from self._in_order(waiting, done)

    def _prepare(self, num_wanted: int) -> None:
        # A picture the decoder had to patch up is not the picture that was filmed: report damage instead.
        self._context.options = {"err_detect": "crccheck+explode", "max_pixels": str(MAX_FRAME_PX)}
        if self._context.width * self._context.height * num_wanted < _SMALL_PX:
            self._context.thread_type, self._context.thread_count = "NONE", 1
            return
        # Frame threads report damage late, so that its place is lost; without presentation times the place must be known.
        self._context.thread_type = "SLICE" if self._index.is_ranked else "AUTO"
        self._context.thread_count = self._num_threads

    def _planned(self, ticks: np.ndarray) -> Iterator[av.VideoFrame]:
        """The pictures at ticks, one stretch after the other; ends as soon as one of them does not come unharmed."""
        for stretch in plan(self._index, ticks):
            self._context.flush_buffers()
            missing = deque(stretch.ticks)
            for frame in self._decode(islice(self._packets.start_at(stretch.start), stretch.stop - stretch.start), set(missing)):
                if missing and frame.pts == missing[0] and self._damage is None and not frame.is_corrupt:
                    missing.popleft()
                    yield frame
            if missing:
                return

    def _decode(self, packets: Iterator[av.Packet], wanted: set[int] | None = None) -> Iterator[av.VideoFrame]:
        """Feeds packets, then drains the decoder; with `wanted`, pictures nothing refers to are skipped unless wanted."""
        self._damage = None
        if self._context.codec.canonical_name not in _SKIPS_EXACTLY:
            wanted = None
        for packet in chain(packets, [None]):
            if wanted is not None and packet is not None:
                self._context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            try:
                yield from self._context.decode(packet)
            except av.error.InvalidDataError as error:  # judged by what comes after it: a cut-off end is no reason to reject
                self._damage = error

    def _restart(self) -> Iterator[av.VideoFrame]:
        """Every frame from the start, in the order they are shown."""
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        return self._decode(self._packets.start_at(0))

    def _ranked(self, idx: np.ndarray) -> Iterator[tuple[av.VideoFrame, float]]:
        """The k-th picture shown gets the k-th time."""
        wanted = set(idx.tolist())
        for k, frame in enumerate(islice(self._restart(), int(idx[-1]) + 1)):
            self._judge(self._index.times[k] * self._index.tick_s, k < len(self._index.times) - _CUT_PICTURES, frame)
            if k in wanted:
                yield frame, self._index.times[k] * self._index.tick_s

    def _in_order(self, waiting: list[int], done: int) -> Iterator[tuple[av.VideoFrame, float]]:
        """The pictures on screen at some ticks (given last first), out of a full decode; none twice, and none up to the tick `done`."""
        shown: av.VideoFrame | None = None
        shown_tick = 0
        for frame, tick in chain(self._timed(), [(None, 2**63)]):
            num_waiting = len(waiting)
            while shown is not None and waiting and waiting[-1] < tick:
                waiting.pop()
            if shown is not None and len(waiting) < num_waiting and shown_tick > done:
                yield shown, shown_tick * self._index.tick_s
            if not waiting:
                return
            shown, shown_tick = frame, tick

    def _timed(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Every frame that has a time of its own, with its tick, from the start."""
        num_passed, last = 0, -(2**63)
        for frame in self._restart():
            if frame.pts is None or frame.pts <= last:
                continue
            place = int(np.searchsorted(self._index.times, frame.pts))
            lost = self._index.ordinals(self._index.times[num_passed:place]) if place > num_passed else np.empty(0)
            self._judge(frame.pts * self._index.tick_s, bool((lost < len(self._index.pts) - _CUT_PICTURES).any()), frame)
            num_passed, last = max(place + 1, num_passed), frame.pts
            yield frame, last

    def _judge(self, at_s: float, is_gap: bool, frame: av.VideoFrame) -> None:
        """Rejects a video with a gap before this frame where damage was met, and a damaged frame."""
        if (is_gap and self._damage is not None) or frame.is_corrupt:
            raise VideoReadError(f"is damaged at or before {at_s:.3f} s ({self._damage or 'marked corrupt'}). Fetch or re-encode it", path=self._packets.name)
