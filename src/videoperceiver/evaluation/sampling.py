"""The frames a protocol takes from a video: which, at what size, and when each was shown."""

import math
from pathlib import Path

import numpy as np

from videoperceiver.evaluation.protocol import Protocol, Spread
from videoperceiver.types import Clip, Span
from videoperceiver.video.read import frame_times, read_clip
from videoperceiver.video.select import select


def sample_clip(path: Path, protocol: Protocol, *, cut: Span | None = None, frame_fps: float | None = None) -> Clip:
    """Read what a protocol shows of a video.

    Args:
        path: a video file or a folder of frames.
        protocol: frames and pixels.
        cut: the part asked about; None is all.
        frame_fps: images a second of a folder.

    Raises:
        VideoReadError: it cannot be read or has no frame in the cut.
    """
    times_s = frame_times(path, frame_fps=frame_fps)
    at_s = times_s[frame_idx(times_s, protocol, cut, str(path))]
    size_px = None
    if protocol.max_pixels is not None:
        height, width = read_clip(path, t_s=at_s[:1], frame_fps=frame_fps).frames.shape[1:3]
        size_px = bounded(height, width, protocol.max_pixels)
    return read_clip(path, t_s=at_s, size_px=size_px, frame_fps=frame_fps)


def frame_idx(times_s: np.ndarray, protocol: Protocol, cut: Span | None, name: str) -> np.ndarray:
    """Increasing indices of the frames that are seen, among those shown at times (T,).

    A clip with fewer frames than `num_frames` is seen whole. `fps` takes at least `min_frames` and at most `max_frames`, as the Qwen-VL processors do.
    """
    span = (cut.start_s, cut.end_s) if cut is not None else None
    shown = select(times_s, name=name, span=span)
    if protocol.num_frames is not None:
        return shown[spread_idx(len(shown), protocol.num_frames, protocol.spread)]
    idx = select(times_s, name=name, fps=protocol.fps, span=span)
    if len(idx) < protocol.min_frames:
        idx = shown[spread_idx(len(shown), protocol.min_frames, "ends")]
    return shown[spread_idx(len(shown), protocol.max_frames, "ends")] if len(idx) > protocol.max_frames else idx


def spread_idx(num: int, wanted: int, spread: Spread) -> np.ndarray:
    """`wanted` of `num` places, rounded down as the official scripts do: np.linspace(0, num - 1), np.arange(0, num, num / wanted), or the middles."""
    if num <= wanted:
        return np.arange(num)
    steps = np.arange(wanted)
    places = {"ends": steps * (num - 1) / max(wanted - 1, 1), "starts": steps * num / wanted, "centres": (steps + 0.5) * num / wanted}[spread]
    return np.floor(places + 1e-9).astype(np.int64)


def bounded(height: int, width: int, max_pixels: int) -> tuple[int, int] | None:
    """The size with at most `max_pixels` and the same aspect; None where it fits already."""
    scale = math.sqrt(max_pixels / (height * width))
    return None if scale >= 1 else (max(1, math.floor(height * scale)), max(1, math.floor(width * scale)))
