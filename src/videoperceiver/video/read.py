"""Reads videos: frames and the exact times they are shown at. The one way into pixels.

Times are the file's own presentation times, in seconds, whatever its frame rate does. Whichever frames are asked for, they are
the same, bit for bit, as those of a full decode; only the work differs.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from videoperceiver.errors import BudgetError, VideoReadError
from videoperceiver.types import Clip
from videoperceiver.video.picture import SizePx
from videoperceiver.video.select import check_request, select
from videoperceiver.video.source import Source, exists_as_folder, name_of, reading
from videoperceiver.video.track import FolderTrack, Track, VideoInfo, open_track, read_info

__all__ = ["MAX_FRAMES", "Reader", "VideoInfo", "frame_times", "iter_frames", "opened", "probe", "read_clip"]

MAX_FRAMES = 20_000
"""Most frames one clip may hold unless the caller says otherwise (11 minutes at 30 fps); longer videos are for `iter_frames`."""


def probe(source: Source, *, frame_fps: float | None = None) -> VideoInfo:
    """What a video's header says, without decoding it (a header may be wrong; `read_clip` never trusts it).

    Args:
        source: path of a file or folder of images, or a file's bytes.
        frame_fps: images a second, for a folder.

    Raises:
        VideoReadError: it cannot be opened as a video.
    """
    if not exists_as_folder(source):
        return read_info(source)
    track = FolderTrack(Path(os.fsdecode(source)), frame_fps)
    pixels, _ = next(iter(track.frames(np.array([0]), None)))
    height, width = pixels.shape[:2]
    return VideoInfo(float(track.times_s[-1] + 1 / track.fps), track.fps, len(track.times_s), width, height, "images", 0)


def frame_times(source: Source, *, frame_fps: float | None = None) -> np.ndarray:
    """(T,) when each frame is shown, seconds, without decoding any.

    Raises:
        VideoReadError: it cannot be opened as a video.
    """
    name = name_of(source)
    with reading(name), open_track(source, frame_fps=frame_fps, num_threads=1) as track:
        return track.times_s


class Reader:
    """An open source whose pictures are indexed once, for many clips of it; of one thread at a time."""

    def __init__(self, track: Track):
        self._track = track

    def clip(
        self,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        t_s: Sequence[float] | np.ndarray | None = None,
        span: tuple[float, float] | None = None,
        size_px: SizePx = None,
        max_frames: int = MAX_FRAMES,
    ) -> Clip:
        """Frames of it; arguments and errors as those of `read_clip`."""
        check_request(fps, num_frames, t_s, span)
        track, name = self._track, self._track.name
        with reading(name):
            idx = select(track.times_s, name=name, fps=fps, num_frames=num_frames, t_s=t_s, span=span)
            if len(idx) > max_frames:
                raise BudgetError(f"{len(idx)} frames asked for; expected at most max_frames={max_frames}. Ask for fewer, or use iter_frames", path=name)
            frames, times_s = _collect(track.frames(idx, size_px), len(idx))
            if t_s is not None and len(times_s) < len(idx):
                raise VideoReadError(f"{len(idx) - len(times_s)} of the {len(idx)} frames asked for by time do not decode", path=name)
        return Clip(frames, times_s, name, track.assumed)


@contextmanager
def opened(source: Source, *, frame_fps: float | None = None, num_threads: int = 0) -> Iterator[Reader]:
    """Opens a source for several clips.

    Args:
        source: path of a file or of a folder of images, or a file's bytes.
        frame_fps: images a second, for a folder of images.
        num_threads: decoder threads, 0: as many as the machine has cores.

    Raises:
        VideoReadError: it cannot be opened as a video.
    """
    stack = ExitStack()
    with reading(name_of(source)):
        track = stack.enter_context(open_track(source, frame_fps=frame_fps, num_threads=num_threads))
    try:
        yield Reader(track)
    finally:
        stack.close()  # without the error of the block, if any: it is the block's, and not one of reading


def read_clip(
    source: Source,
    *,
    fps: float | None = None,
    num_frames: int | None = None,
    t_s: Sequence[float] | np.ndarray | None = None,
    span: tuple[float, float] | None = None,
    size_px: SizePx = None,
    frame_fps: float | None = None,
    max_frames: int = MAX_FRAMES,
    num_threads: int = 0,
) -> Clip:
    """Reads frames of a video; every frame unless `fps`, `num_frames` or `t_s` choose some.

    `read_clip(source, t_s=clip.t_s)` returns exactly the frames of `clip`.

    Args:
        source: path of a file or of a folder of images, or a file's bytes.
        fps: frames on screen at start, start + 1/fps, .. up to the end.
        num_frames: this many frames, evenly spread from first to last; all where there are fewer.
        t_s: the frames on screen at these times, seconds of the source. Two times within one frame give it once.
        span: (start, end) seconds; only frames on screen at some moment of it. Not with `t_s`.
        size_px: None as stored; an int bounds the longer side; (height, width) exactly.
        frame_fps: images a second, for a folder of images.
        max_frames: more than this many are refused.
        num_threads: decoder threads, 0: as many as the machine has cores.

    Returns:
        Clip with frames (T, H, W, 3) uint8 RGB, upright, and their true times (T,).

    Raises:
        VideoReadError: it cannot be read, or has no frame at a time asked for.
        BudgetError: more than `max_frames` frames, or out of memory.
        ValueError: more than one of fps, num_frames and t_s, or one of them is out of range.
    """
    check_request(fps, num_frames, t_s, span)
    with opened(source, frame_fps=frame_fps, num_threads=num_threads) as reader:
        return reader.clip(fps=fps, num_frames=num_frames, t_s=t_s, span=span, size_px=size_px, max_frames=max_frames)


def _collect(pairs: Iterator[tuple[np.ndarray, float]], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, H, W, 3) and times (T,) of at most `count` pairs, each frame copied once, into its place."""
    frames, times_s, num_read = np.empty((0, 0, 0, 3), np.uint8), np.empty(count), 0
    for pixels, at_s in pairs:
        if num_read == 0:
            frames = np.empty((count, *pixels.shape), np.uint8)
        frames[num_read], times_s[num_read] = pixels, at_s
        num_read += 1
    return frames[:num_read], times_s[:num_read]


def iter_frames(
    source: Source,
    *,
    fps: float | None = None,
    span: tuple[float, float] | None = None,
    size_px: SizePx = None,
    frame_fps: float | None = None,
    num_threads: int = 0,
) -> Iterator[tuple[np.ndarray, float]]:
    """Streams a video of any length in bounded memory: (H, W, 3) uint8 frames and their times in seconds.

    The same frames as `read_clip` with the same arguments, one at a time.

    Raises:
        VideoReadError: it cannot be read; damage is met only where it lies.
    """
    check_request(fps=fps, span=span)
    name = name_of(source)
    with reading(name), open_track(source, frame_fps=frame_fps, num_threads=num_threads) as track:
        for pixels, at_s in track.frames(select(track.times_s, name=name, fps=fps, span=span), size_px):
            yield np.ascontiguousarray(pixels), at_s
