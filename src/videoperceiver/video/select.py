"""Which frames a request means, given when each frame is shown. Pure: times in, indices out.

One rule for all requests: the frame of a time is the one on screen then, that is the last one shown at or before it.
"""

from collections.abc import Sequence

import numpy as np

from videoperceiver.errors import VideoReadError

TOLERANCE_S = 1e-4
"""Slack for times that were rounded on their way here (1/30 s written as 0.0333); always under half a frame's interval."""


def on_screen(times_s: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Indices of the frames on screen at some times; -1 before the first frame.

    Args:
        times_s: (T,) increasing presentation times, seconds.
        at_s: (N,) times asked for, seconds.
    """
    gap_s = float(np.diff(times_s).min()) if len(times_s) > 1 else 1.0
    return np.searchsorted(times_s, at_s + min(TOLERANCE_S, gap_s / 2), side="right") - 1


def select(
    times_s: np.ndarray,
    *,
    name: str,
    fps: float | None = None,
    num_frames: int | None = None,
    t_s: Sequence[float] | np.ndarray | None = None,
    span: tuple[float, float] | None = None,
) -> np.ndarray:
    """Indices of the frames that a request asks for, increasing; a frame is never repeated.

    Args:
        times_s: (T,) increasing presentation times, seconds.
        name: of the source, for messages.
        fps: frames at start, start + 1/fps, .. up to the end.
        num_frames: this many, evenly spread over the frames from first to last (the middle one for 1); all where there are fewer.
        t_s: exactly these times.
        span: (start, end) seconds; only frames on screen at some moment of it.

    Raises:
        VideoReadError: a time or span outside the video.
    """
    if t_s is not None:
        return np.unique(_exact(times_s, np.asarray(t_s, dtype=np.float64), name))
    first, last = (0, len(times_s) - 1) if span is None else _range(times_s, span, name)
    if fps is not None:
        start_s = times_s[first] if span is None else max(span[0], times_s[first])
        end_s = times_s[last]
        at_s = start_s + np.arange(int(np.floor((end_s - start_s) * fps + 1e-6)) + 1) / fps if end_s > start_s else np.array([start_s])
        return np.unique(np.maximum(on_screen(times_s, at_s), first))
    if num_frames is not None:
        count = last - first + 1
        if num_frames == 1:
            return np.array([first + count // 2])
        return first + np.unique(np.floor(np.linspace(0, count - 1, min(num_frames, count)) + 0.5).astype(np.int64))
    return np.arange(first, last + 1)


def check_request(
    fps: float | None = None,
    num_frames: int | None = None,
    t_s: Sequence[float] | np.ndarray | None = None,
    span: tuple[float, float] | None = None,
) -> None:
    """Refuses a request that no video can answer; for arguments see `select`.

    Raises:
        ValueError: more than one of fps, num_frames and t_s, or one of them is out of range.
    """
    if sum(x is not None for x in (fps, num_frames, t_s)) > 1:
        raise ValueError("got more than one of fps, num_frames and t_s; give one of them, or none for every frame")
    if t_s is not None and span is not None:
        raise ValueError("got t_s and span; times already say where they are, so give one of them")
    if fps is not None and not 0 < fps < np.inf:
        raise ValueError(f"got fps={fps}; expected a positive number")
    if num_frames is not None and num_frames < 1:
        raise ValueError(f"got num_frames={num_frames}; expected 1 or more")
    if t_s is not None and (not len(t_s) or not np.isfinite(np.asarray(t_s, dtype=np.float64)).all()):
        raise ValueError("got t_s that is empty or holds a NaN or infinite time; expected seconds")
    if span is not None and not span[0] <= span[1] < np.inf:
        raise ValueError(f"got span=({span[0]}, {span[1]}); expected seconds with start <= end")


def _exact(times_s: np.ndarray, at_s: np.ndarray, name: str) -> np.ndarray:
    """On screen at each time; a time within one frame interval outside the video means its first or last frame."""
    slack_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.04
    outside = (at_s < times_s[0] - slack_s - TOLERANCE_S) | (at_s > times_s[-1] + slack_s + TOLERANCE_S)
    if outside.any():
        raise VideoReadError(f"has no frame at {at_s[outside][0]:.3f} s; it shows {times_s[0]:.3f} to {times_s[-1]:.3f} s", path=name)
    return np.maximum(on_screen(times_s, at_s), 0)


def _range(times_s: np.ndarray, span: tuple[float, float], name: str) -> tuple[int, int]:
    """First and last index on screen during a span."""
    start_s, end_s = span
    slack_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.04
    if end_s < times_s[0] - TOLERANCE_S or start_s > times_s[-1] + slack_s + TOLERANCE_S:
        raise VideoReadError(f"has no frame in {start_s:.3f}-{end_s:.3f} s; it shows {times_s[0]:.3f} to {times_s[-1]:.3f} s", path=name)
    first, last = np.maximum(on_screen(times_s, np.array([start_s, end_s], dtype=np.float64)), 0)
    return int(first), int(last)
