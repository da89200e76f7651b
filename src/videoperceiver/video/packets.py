"""The compressed side of a video: when each picture is shown, where decoding can start, and packets from there on.

Reading packets costs a hundredth of decoding them, so the exact times of all pictures are known before any is decoded.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from videoperceiver.errors import BudgetError, VideoReadError
from videoperceiver.video.source import Source, name_of, open_container, video_stream

MAX_PACKETS = 4_000_000
"""More pictures than this are refused (37 hours at 30 fps)."""
CACHE_BYTES = 2**25
"""Compressed video up to this size is kept in memory once read (32 MB: a short clip), which saves seeking in it."""

_SEEK_PACKETS = 1000
"""A seek that has not met its packet after so many has gone wrong."""
_NO_TIME = -(2**63)


@dataclass(frozen=True, eq=False)
class PacketIndex:
    """What the container says about each picture, in the order they are stored (decoding order).

    Attributes:
        pts: (N,) presentation time, ticks; the container's decoding time, sorted by rank, where it stores none.
        dts: (N,) decoding time, ticks (may be _NO_TIME).
        num_bytes: (N,) compressed size.
        is_key: (N,) decoding can start here.
        is_ranked: the container stores no presentation times, or not all (AVI, raw streams): the k-th picture shown gets the k-th time.
        times: (T,) distinct ticks at which a picture is shown, increasing.
        tick_s: seconds a tick.
        assumed: what had to be assumed about the times, in words; empty where the file says them.
    """

    pts: np.ndarray
    dts: np.ndarray
    num_bytes: np.ndarray
    is_key: np.ndarray
    is_ranked: bool
    times: np.ndarray
    tick_s: float
    assumed: str = ""

    def ordinals(self, ticks: np.ndarray) -> np.ndarray:
        """(M,) places in decoding order of the pictures shown at some ticks."""
        order = np.argsort(self.pts, kind="stable")
        return order[np.searchsorted(self.pts, ticks, side="right", sorter=order) - 1]

    @property
    def times_s(self) -> np.ndarray:
        """(T,) presentation times in source seconds."""
        return self.times * self.tick_s


class PacketReader:
    """Packets of one stream, from any picture on: out of memory for short clips, by seeking and checking otherwise.

    Args:
        container: just opened.
        stream: its video stream.
        source: of the container, to be opened a second time where it cannot seek.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, source: Source):
        self._container, self._stream, self._source, self.name = container, stream, source, name_of(source)
        self._cache: list[av.Packet] | None = []
        self._can_seek = True
        self.index = self._scan()

    def _scan(self) -> PacketIndex:
        pts, dts, num_bytes, is_key, is_shown = array("q"), array("q"), array("q"), bytearray(), bytearray()
        total = 0
        for packet in _pictures(self._container, self._stream):
            pts.append(_NO_TIME if packet.pts is None else packet.pts)
            dts.append(_NO_TIME if packet.dts is None else packet.dts)
            num_bytes.append(packet.size)
            is_key.append(packet.is_keyframe)
            is_shown.append(not packet.is_discard)
            total += packet.size
            if self._cache is not None:
                self._cache.append(packet)
                if total > CACHE_BYTES:
                    self._cache = None
            if len(pts) > MAX_PACKETS:
                raise BudgetError(f"has more than {MAX_PACKETS} pictures; cut it into parts", path=self.name)
        if not pts:
            raise VideoReadError("its video stream holds no picture; expected at least one", path=self.name)
        flags = np.array(is_key, dtype=bool), np.array(is_shown, dtype=bool)
        is_avi = self._container.format.name == "avi"
        return build_index(np.array(pts), np.array(dts), np.array(num_bytes), *flags, self._stream, self.name, has_fixed_rate=is_avi)

    def start_at(self, ordinal: int) -> Iterator[av.Packet]:
        """The packets from `ordinal` (in decoding order) to the end."""
        if self._cache is not None:
            return islice(self._cache, ordinal, None)
        if self._can_seek and not self.index.is_ranked:
            found = self._seek(ordinal)
            if found is not None:
                return found
            self._can_seek = False  # this container's own index is wrong: walk from its start from now on
        return self._walk(ordinal)

    def _seek(self, ordinal: int) -> Iterator[av.Packet] | None:
        """Seeks, and checks that the very packet comes: containers' indexes may be missing or lie."""
        pts, dts = int(self.index.pts[ordinal]), int(self.index.dts[ordinal])
        try:
            # Some containers seek by presentation time and some by decoding time: the earlier of the two is safe in both.
            self._container.seek(pts if dts == _NO_TIME else min(pts, dts), stream=self._stream)
        except av.error.FFmpegError:
            return None
        pictures = _pictures(self._container, self._stream)
        for packet in islice(pictures, _SEEK_PACKETS):
            if (packet.pts, packet.size) == (pts, self.index.num_bytes[ordinal]):
                return chain([packet], pictures)
        return None

    def _walk(self, ordinal: int) -> Iterator[av.Packet]:
        """Reads, without decoding, from the start of a second container."""
        with open_container(self._source) as container:
            yield from islice(_pictures(container, video_stream(container, self.name)), ordinal, None)


def _pictures(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The stream's packets that are not empty, from the container's present position on."""
    return (packet for packet in container.demux(stream) if packet.size)


def build_index(
    pts: np.ndarray,
    dts: np.ndarray,
    num_bytes: np.ndarray,
    is_key: np.ndarray,
    is_shown: np.ndarray,
    stream: VideoStream,
    name: str,
    *,
    has_fixed_rate: bool = False,
) -> PacketIndex:
    """Settles on which clock the pictures are timed.

    Pictures that an edit list cuts away (not is_shown) serve to decode others and have no time of their own; neither have pictures before
    the first key picture, which nothing can decode (a recording that starts in the middle). `has_fixed_rate`: the container times pictures by
    their place (AVI), so that ranks are exact; elsewhere they are an assumption, and the index says so.

    Raises:
        VideoReadError: neither times nor a frame rate are stored.
    """
    tick_s, assumed = float(stream.time_base) if stream.time_base else 0.0, ""
    if tick_s <= 0:
        raise VideoReadError("stores no time base; remux it (ffmpeg -i IN -c copy OUT.mkv)", path=name)
    if is_key.any():
        is_shown[: int(is_key.argmax())] = False
    if not is_shown.any():
        raise VideoReadError("its edit list cuts every picture away; expected at least one", path=name)
    is_ranked = bool((pts == _NO_TIME).any()) or len(np.unique(pts[is_shown])) < is_shown.sum()
    if is_ranked and not (dts == _NO_TIME).any() and len(np.unique(dts)) == len(dts):
        pts = np.sort(dts)
        assumed = "" if has_fixed_rate else "it stores no presentation times; the k-th picture shown was given the k-th decoding time"
    elif is_ranked:
        pts, assumed = _evenly(pts, is_key, int(is_shown.argmax()), stream, name)
    return PacketIndex(pts, dts, num_bytes, is_key, is_ranked, np.unique(pts[is_shown]), tick_s, assumed)


def _evenly(pts: np.ndarray, is_key: np.ndarray, first: int, stream: VideoStream, name: str) -> tuple[np.ndarray, str]:
    """Times by the stream's frame rate where few or none are stored (raw streams, MPEG-TS with one time for many pictures).

    A key picture is shown after all pictures stored before it, so its place is known, and where its time is stored too it is a check: times are taken
    for the file's own if all such key pictures (two at least) have the time that the rate gives them.

    Args:
        pts: (N,) stored times, ticks, or _NO_TIME.
        is_key: (N,) key pictures.
        first: the first picture shown.
        stream: gives the rate.
        name: for messages.

    Returns:
        (N,) ticks, and what was assumed.
    """
    rate = stream.average_rate or stream.base_rate
    if not rate:
        raise VideoReadError("stores neither times nor a frame rate; remux it with one (ffmpeg -r FPS -i IN -c copy OUT.mkv)", path=name)
    assert stream.time_base is not None
    known = np.flatnonzero(is_key & (pts != _NO_TIME))
    ticks_a_picture = float(1 / (rate * stream.time_base))
    start = pts[known[0]] - (known[0] - first) * ticks_a_picture if len(known) else 0
    evenly = np.round(start + (np.arange(len(pts)) - first) * ticks_a_picture).astype(np.int64)
    off = np.abs(pts[known] - evenly[known])
    if len(known) > 1 and off.max() <= 1:
        return evenly, ""
    if len(known) > 1 and (np.diff(pts[known]) > 0).all():
        between = np.round(np.interp(np.arange(len(pts)), known, pts[known])).astype(np.int64)
        before, after = np.arange(len(pts)) < known[0], np.arange(len(pts)) > known[-1]
        between[after] = evenly[after] + pts[known[-1]] - evenly[known[-1]]
        between[before] = evenly[before]
        stored = f"it stores times of {len(known)} of its {is_key.sum()} key pictures, which its rate of {float(rate):g} a second does not give"
        return between, f"{stored}; pictures between them were spaced evenly"
    stored = "the time of one key picture" if len(known) == 1 else "times that go backwards" if len(known) else "no times"
    return evenly, f"it stores {stored}; pictures were placed {float(rate):g} a second from {evenly[first] * float(stream.time_base):.3f} s on"
