"""Distributions and counts whose memory does not grow with the number of rows."""

import math
from collections import Counter
from collections.abc import Sequence

OTHERS = "(others)"
_DIGITS = 3


class Spread:
    """A distribution: numbers are remembered to three significant digits, so that a decade holds at most 900 of them."""

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()
        self.count, self.total = 0, 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, value: float) -> None:
        """Count one finite number."""
        self._counts[float(f"{value:.{_DIGITS}g}")] += 1
        self.count += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def mean(self) -> float | None:
        """None where nothing was counted."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The least number that at least this share of the numbers do not exceed, to three digits; None where nothing was counted."""
        seen = 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= share * self.count:
                return value
        return None

    def bins(self, edges: Sequence[float]) -> list[int]:
        """How many numbers lie in each [edge, next edge), the last bin with its upper edge; what is outside counts to the nearest bin."""
        counts = [0] * (len(edges) - 1)
        for value, number in self._counts.items():
            place = sum(value >= edge for edge in edges[1:-1])
            counts[place] += number
        return counts

    def edges(self, bins: int = 20) -> list[float]:
        """Round borders around all numbers: even steps from 0, or 1-2-5 steps where a few numbers are far larger than most."""
        middle = self.quantile(0.5)
        if middle is None or self.high <= 0:
            return [0.0, 1.0]
        if middle > 0 and self.high > 12 * middle:
            return _decades(min(self._counts), self.high)
        unit = 10 ** math.floor(math.log10(self.high / bins))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * bins >= self.high)
        return [index * step for index in range(math.ceil(self.high / step - 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """0, then 1, 2, 5, 10, 20, 50 .. from the largest at or below the smallest positive number to the first at or above `high`."""
    start = math.floor(math.log10(low)) if low > 0 else math.floor(math.log10(high)) - 4
    steps = [factor * 10.0**power for power in range(start, math.ceil(math.log10(high)) + 1) for factor in (1, 2, 5)]
    last = next(i for i, step in enumerate(steps) if step >= high)
    return [0.0, *steps[: last + 1]] if low <= 0 else steps[: last + 1]


class Tally(Counter[str]):
    """Counts of names, at most `limit` of them; later ones count as `OTHERS`.

    Args:
        limit: of names.
    """

    def __init__(self, limit: int = 1000):
        super().__init__()
        self.limit = limit

    def add(self, name: str) -> None:
        """Count one name."""
        self[name if name in self or len(self) < self.limit else OTHERS] += 1
