"""Shares of questions with intervals over videos: questions of one video are not independent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm as normal
from scipy.stats import t as student

LEVEL = 0.99
"""Of every interval here: many families are looked at by many guessers, and one of them is the best."""


@dataclass(frozen=True)
class Share:
    """A mean and its interval over videos.

    Attributes:
        value: NaN where nothing was counted.
        low, high: NaN where fewer than two videos were.
        num: questions.
        num_videos: independent units.
    """

    value: float
    low: float
    high: float
    num: int
    num_videos: int


def clustered_share(values: Sequence[float] | np.ndarray, videos: Sequence[int] | np.ndarray) -> Share:
    """Mean of values (N,), NaN ones left out, with the linearised variance of a ratio over clusters (Cochran 1977, 6.3) and Student's t.

    Where all videos are right, or all wrong, nothing varies, which is not certainty: the interval is then Wilson's over videos, one trial each.

    Args:
        values: scores, or scores less chance.
        videos: (N,) number of the video each belongs to.
    """
    values, videos = np.asarray(values, np.float64), np.asarray(videos, np.int64)
    scored = ~np.isnan(values)
    _, at = np.unique(videos[scored], return_inverse=True)
    num, num_videos = int(scored.sum()), int(at.max() + 1) if len(at) else 0
    if not num:
        return Share(math.nan, math.nan, math.nan, 0, 0)
    value = float(values[scored].mean())
    if num_videos < 2:
        return Share(value, math.nan, math.nan, num, num_videos)
    if value in (0.0, 1.0) and np.ptp(values[scored]) == 0:
        return Share(value, *_wilson(value, num_videos), num, num_videos)
    residuals = np.bincount(at, values[scored] - value)  # (V,)
    error = math.sqrt(num_videos / (num_videos - 1) * float(residuals @ residuals)) / num
    half = float(student.ppf((1 + LEVEL) / 2, num_videos - 1)) * error
    return Share(value, value - half, value + half, num, num_videos)


def _wilson(share: float, num: int) -> tuple[float, float]:
    """Interval of a share of independent trials (Wilson 1927)."""
    z2 = float(normal.ppf((1 + LEVEL) / 2)) ** 2
    centre, half = (share + z2 / (2 * num)) / (1 + z2 / num), math.sqrt(z2 * share * (1 - share) / num + z2**2 / (4 * num**2)) / (1 + z2 / num)
    return max(0.0, centre - half), min(1.0, centre + half)
