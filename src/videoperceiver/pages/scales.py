"""From numbers to places: axes in per cent of a figure's width, lines in a stretched coordinate box.

Figures are SVG whose horizontal places are percentages, so that they fill any width while text keeps its size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOX = 1000.0
"""Width of the stretched coordinate box in which lines are drawn."""


@dataclass(frozen=True)
class Axis:
    """A linear map from [low, high] to [start, end]."""

    low: float
    high: float
    start: float = 0.0
    end: float = 100.0

    def place(self, value: float) -> float:
        """Where a value lies; an empty range puts everything in the middle."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def percent(self, value: float) -> str:
        """The place as an SVG length."""
        return f"{self.place(value):.3f}%"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers inside [low, high], about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.8)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def clock_ticks(low: float, high: float, count: int = 8) -> list[float]:
    """Like `ticks`, at steps that a clock divides into: seconds, tens, quarters and halves of minutes and hours."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    step = next((step for step in steps if (high - low) / step <= count), steps[-1])
    return [float(index * step) for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)] or [low]


def bounds(values: Sequence[float] | np.ndarray, pad: float = 0.06) -> tuple[float, float]:
    """The range of the finite values with a little air; (0, 1) where there is none."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    air = (high - low) * pad or abs(high) * pad or 1.0
    return low - air, high + air


def lines(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, across: Axis, up: Axis) -> list[str]:
    """SVG point lists of a curve in the stretched box, broken where a value is missing.

    Args:
        x: (N,) places.
        y: (N,) values, not finite where missing.
        across: x to per cent of the width.
        up: y to pixels.
    """
    parts: list[list[str]] = [[]]
    for a, b in zip(*thin(x, y), strict=True):
        if math.isfinite(b):
            parts[-1].append(f"{across.place(a) * BOX / 100:.1f},{up.place(b):.1f}")
        elif parts[-1]:
            parts.append([])
    return [" ".join(part if len(part) > 1 else part * 2) for part in parts if part]


def thin(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, limit: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """At most about `limit` points that keep every bin's lowest and highest value, so that no peak is lost."""
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(across) <= limit:
        return across, up
    keep: set[int] = {0, len(up) - 1}
    for part in np.array_split(np.arange(len(up)), limit // 2):
        finite = part[np.isfinite(up[part])]
        keep.update(part[:1] if not len(finite) else (finite[up[finite].argmin()], finite[up[finite].argmax()]))
    chosen = np.array(sorted(int(index) for index in keep))
    return across[chosen], up[chosen]


def smooth(y: Sequence[float] | np.ndarray, window: int) -> np.ndarray:
    """Centred moving mean over `window` values; missing ones are left out of each mean."""
    values = np.asarray(y, dtype=float)
    finite = np.isfinite(values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(part)]) for part in (np.where(finite, values, 0.0), finite.astype(float)))
    centre = np.arange(len(values))
    first, last = np.maximum(centre - window // 2, 0), np.minimum(centre + window // 2 + 1, len(values))
    count = counts[last] - counts[first]
    return np.where(count > 0, (sums[last] - sums[first]) / np.maximum(count, 1), np.nan)
