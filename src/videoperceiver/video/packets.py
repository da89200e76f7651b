"""The compressed side of a video: when each picture is shown, where decoding can start, and packets from there on.

Reading packets costs a hundredth of decoding them, so the exact times of all pictures are known before any is decoded.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import av
import numpy as np
from av.container import InputContainer

from videoperceiver.errors import BudgetError, VideoReadError

MAX_PACKETS = 4_000_000
"""More pictures than this are refused (37 hours at 30 fps)."""
CACHE_BYTES = 2**25
"""Compressed video up to this size is kept in memory once read (32 MB: a short clip), which saves seeking in it."""

_NO_TIME = -(2**63)


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """What the container says about each picture, in the order they are stored (decoding order).

    Attributes:
        pts: (N,) presentation time, ticks; the container's decoding time, sorted by rank, where it stores none.
        dts: (N,) decoding time, ticks (may be _NO_TIME).
        is_key: (N,) decoding can start here.
        is_ranked: the container stores no presentation times (AVI, raw streams): the k-th picture shown gets the k-th time.
        times: (T,) distinct ticks at which a picture is shown, increasing.
        tick_s: seconds a tick.
    """

    pts: np.ndarray
    dts: np.ndarray
    is_key: np.ndarray
    is_ranked: bool
    times: np.ndarray
    tick_s: float

    @property
    def times_s(self) -> np.ndarray:
        """(T,) presentation times in source seconds."""
        return self.times * self.tick_s


class PacketReader:
    """Packets of one stream, from any picture on: out of memory for short clips, by seeking and checking otherwise."""

    def __init__(self, container: InputContainer, stream: av.VideoStream, name: str):
        self._container, self._stream, self.name = container, stream, name
        self._cache: list[av.Packet] | None = []
        self._can_seek = True
        self.index = self._scan()

    def _scan(self) -> PacketIndex:
        pts, dts, is_key, is_shown, size = array("q"), array("q"), bytearray(), bytearray(), 0
        for packet in self._pictures():
            pts.append(_NO_TIME if packet.pts is None else packet.pts)
            dts.append(_NO_TIME if packet.dts is None else packet.dts)
            is_key.append(packet.is_keyframe)
            is_shown.append(not packet.is_discard)
            size += packet.size
            if self._cache is not None:
                self._cache.append(packet)
                if size > CACHE_BYTES:
                    self._cache = None
            if len(pts) > MAX_PACKETS:
                raise BudgetError(f"has more than {MAX_PACKETS} pictures; cut it into parts", path=self.name)
        if not pts:
            raise VideoReadError("its video stream holds no picture; expected at least one", path=self.name)
        flags = np.array(is_key, dtype=bool), np.array(is_shown, dtype=bool)
        return build_index(np.array(pts), np.array(dts), *flags, self._stream, self.name)

    def _pictures(self) -> Iterator[av.Packet]:
        """Packets that hold a picture to be shown or needed, from the container's present position on."""
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def start_at(self, ordinal: int) -> Iterator[av.Packet]:
        """The packets from `ordinal` (in decoding order) to the end.

        Raises:
            VideoReadError: the container cannot be brought back there.
        """
        if self._cache is not None:
            return islice(self._cache, ordinal, None)
        if self._can_seek and self.index.dts[ordinal] != _NO_TIME:
            found = self._seek(ordinal)
            if found is not None:
                return found
            self._can_seek = False  # this container's own index is wrong: walk from its start from now on
        return self._walk(ordinal)

    def _seek(self, ordinal: int) -> Iterator[av.Packet] | None:
        """Seeks, and checks that the very packet comes: containers' indexes may be missing or lie."""
        expected = (int(self.index.pts[ordinal]), int(self.index.dts[ordinal]))
        # Some containers seek by presentation time and some by decoding time, which comes first.
        self._container.seek(min(expected), stream=self._stream)
        pictures = self._pictures()
        for packet in pictures:
            if (packet.pts, packet.dts) == expected:
                return _chain(packet, pictures)
            if packet.dts is None or packet.dts > expected[1]:
                return None
        return None

    def _walk(self, ordinal: int) -> Iterator[av.Packet]:
        first = (int(self.index.pts[0]), int(self.index.dts[0]))
        self._container.seek(-(2**62), stream=self._stream)
        pictures = self._pictures()
        packet = next(pictures, None)
        if packet is None or (_NO_TIME if packet.dts is None else packet.dts) != first[1]:
            raise VideoReadError("its start cannot be reached again after a first pass; remux it (ffmpeg -i IN -c copy OUT.mkv)", path=self.name)
        return islice(_chain(packet, pictures), ordinal, None)


def _chain(first: av.Packet, rest: Iterator[av.Packet]) -> Iterator[av.Packet]:
    yield first
    yield from rest


def build_index(pts: np.ndarray, dts: np.ndarray, is_key: np.ndarray, is_shown: np.ndarray, stream: av.VideoStream, name: str) -> PacketIndex:
    """Settles on which clock the pictures are timed.

    Pictures an edit list cuts away (not is_shown) are needed to decode others, and have no time of their own.

    Raises:
        VideoReadError: neither times nor a frame rate are stored.
    """
    tick_s = float(stream.time_base) if stream.time_base else 0.0
    if not is_shown.any():
        raise VideoReadError("its edit list cuts every picture away; expected at least one", path=name)
    is_ranked = bool((pts == _NO_TIME).any()) or len(np.unique(pts[is_shown])) < is_shown.sum()
    if is_ranked and not (dts == _NO_TIME).any() and len(np.unique(dts)) == len(dts):
        pts = np.sort(dts)
    elif is_ranked:  # a raw stream: nothing but a frame rate is known
        rate = stream.average_rate or stream.base_rate
        if not rate:
            raise VideoReadError("stores neither times nor a frame rate; remux it with one (ffmpeg -r FPS -i IN -c copy OUT.mkv)", path=name)
        pts, tick_s = np.arange(len(pts)), 1 / float(rate)
    if tick_s <= 0:
        raise VideoReadError("stores no time base; remux it (ffmpeg -i IN -c copy OUT.mkv)", path=name)
    return PacketIndex(pts, dts, is_key, is_ranked, np.unique(pts[is_shown]), tick_s)
