"""Relevance by how much moves, whatever the text says; and the small grey pictures and curves that it shares with the proxy."""

from collections.abc import Sequence

import numpy as np

from videoperceiver.scoring.scorer import RelevanceScorer

GREY_SIZE = (36, 48)
SMOOTHING_S = 0.625
"""Running mean over the curves of change: five frames at 8 fps. Shorter finds more peaks outside events, longer merges neighbouring events."""


class MotionRelevance(RelevanceScorer):
    """Mean absolute difference of small grey frames, smoothed: how much moves, whatever the text says. Needs no extra."""

    name = "motion/grey-48x36"

    def describe(self, frames: np.ndarray) -> np.ndarray:
        """(n, 36, 48) uint8 grey pictures."""
        return shrink_grey(frames)

    def relate(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str], *, like: np.ndarray | None = None) -> np.ndarray:
        """(T,) share of the grey scale by which the picture changes from frame to frame."""
        return motion(description, t_s).astype(np.float32)


def shrink_grey(frames: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 -> (n, 36, 48) uint8, antialiased, aspect ignored."""
    from PIL import Image

    height, width = GREY_SIZE
    small = [np.asarray(Image.fromarray(frame).convert("L").resize((width, height), Image.Resampling.BILINEAR)) for frame in frames]
    return np.stack(small) if small else np.empty((0, height, width), np.uint8)


def motion(grey: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """(T,) smoothed mean absolute difference of consecutive grey frames (T, h, w), as a share of the grey scale; 0 before the first."""
    change = np.zeros(len(grey))
    for i in range(1, len(grey)):  # one pair at a time: the whole clip as floats need not fit
        change[i] = np.abs(grey[i].astype(np.int16) - grey[i - 1]).mean() / 255
    return smooth(change, t_s, SMOOTHING_S)


def smooth(curve: np.ndarray, t_s: np.ndarray, width_s: float) -> np.ndarray:
    """(T,) running mean over the odd number of frames nearest to `width_s` seconds; the ends repeat."""
    width = max(1, 2 * round((frames_in(width_s, t_s) - 1) / 2) + 1)
    padded = np.pad(np.asarray(curve, np.float64), width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), "valid")


def frames_in(duration_s: float, t_s: np.ndarray) -> float:
    """How many of the clip's typical frame intervals fit into a duration."""
    return duration_s / float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
