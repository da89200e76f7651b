"""Makes events rare (paper 3.4): everything but the event is sampled denser, until the event is a small share of the frames.

Times stay on the source's axis, so that no question, answer or span changes its meaning.
"""

from collections.abc import Sequence

import numpy as np

from videoperceiver.types import Span
from videoperceiver.video.select import on_screen

_FPS_STEP = 0.25


def sparse_times(
    grid_s: np.ndarray, spans: Sequence[Span], *, base_fps: float, dense_fps: float = 8.0, target_share: float = 0.05
) -> tuple[np.ndarray, float, float]:
    """Times to sample so that events take at most a share of the frames.

    Events are sampled at `base_fps`, at least once each; the rest at the lowest rate from `base_fps` to `dense_fps` that reaches the share.
    A clip that cannot reach it gets `dense_fps` and is told apart by its share.

    Args:
        grid_s: (N,) times at which the source shows a frame (`read.frame_times`); only these are returned.
        spans: events, source seconds, ends included.
        base_fps: frames a second before.
        dense_fps: highest rate outside events.
        target_share: of frames inside events.

    Returns:
        (T,) times for `read_clip(t_s=...)`; the share of frames inside events at `base_fps`; and the share among these times.

    Raises:
        ValueError: rates or share out of range.
    """
    if not 0 < base_fps <= dense_fps or not 0 < target_share <= 1:
        raise ValueError(f"got base_fps={base_fps}, dense_fps={dense_fps}, target_share={target_share}; expected 0 < base <= dense and a share in (0, 1]")
    grid_s = np.asarray(grid_s, dtype=np.float64)
    in_event = _inside(grid_s, spans)
    t_s = _sample(grid_s, in_event, base_fps, base_fps)
    share_before = share = float(_inside(t_s, spans).mean())
    for fps in [*np.arange(base_fps + _FPS_STEP, dense_fps, _FPS_STEP), dense_fps]:
        if share <= target_share:
            break
        t_s = _sample(grid_s, in_event, base_fps, float(fps))
        share = float(_inside(t_s, spans).mean())
    return t_s, share_before, share


def _inside(t_s: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """(T,) whether each time lies in an event."""
    inside = np.zeros(len(t_s), dtype=bool)
    for span in spans:
        inside |= (t_s >= span.start_s) & (t_s <= span.end_s)
    return inside


def _sample(grid_s: np.ndarray, in_event: np.ndarray, event_fps: float, other_fps: float) -> np.ndarray:
    """Times of grid_s, sampled at one rate in each stretch inside events and another outside; each stretch starts with its first frame."""
    parts = []
    for stretch in np.split(np.arange(len(grid_s)), np.flatnonzero(np.diff(in_event)) + 1):
        times_s = grid_s[stretch]
        fps = event_fps if in_event[stretch[0]] else other_fps
        at_s = times_s[0] + np.arange(int((times_s[-1] - times_s[0]) * fps + 1e-6) + 1) / fps
        parts.append(times_s[np.unique(on_screen(times_s, at_s))])
    return np.concatenate(parts)
