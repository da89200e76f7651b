"""Warnings about a stage 2 that goes wrong slowly: each compares the last steps' means with those of the run's first ones."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Row = Mapping[str, float | None]
"""Scalars of one step, null where nothing was measured."""

WARNINGS = ("warn_hacking", "warn_entropy", "warn_length")

STANDARD_ERRORS = 2.0
"""Q counts as fallen or risen beyond so many standard errors of the difference of two windows."""
ENTROPY_SHARE = 0.2
"""Entropy counts as collapsed below this share of what it was."""
LENGTH_FACTOR = 1.5
"""Completions count as drifted when they are so many times longer or shorter."""


@dataclass
class Drift:
    """Watches the scalars of a run.

    Attributes:
        window: steps of a mean; nothing is said before twice as many were seen.
        first: rows of the first window.
        last: rows of the last window.
    """

    window: int
    first: list[Row] = field(default_factory=list)
    last: list[Row] = field(default_factory=list)

    def see(self, row: Row) -> dict[str, str]:
        """Takes in a step's scalars (`q`, `q_degraded`, `entropy`, `length`); returns what is wrong by now, by name."""
        if len(self.first) < self.window:
            self.first.append(row)
            return {}
        self.last = [*self.last, row][-self.window :]
        if len(self.last) < self.window:
            return {}
        found = zip(WARNINGS, (self._hacking(), self._entropy(), self._length()), strict=True)
        return {name: message for name, message in found if message}

    def _hacking(self) -> str:
        """Q on V' falls while Q on V does not rise: R grows without better answers."""
        (before, after, error), (before_twin, after_twin, error_twin) = self._change("q"), self._change("q_degraded")
        falls, rises = before_twin - after_twin > STANDARD_ERRORS * error_twin, after - before > STANDARD_ERRORS * error
        if not falls or rises or math.isnan(after):
            return ""
        return (
            f"Q on V' fell from {before_twin:.3f} to {after_twin:.3f} while Q on V went from {before:.3f} to {after:.3f}: the comparative reward grows by "
            "worse answers on V', not by better ones on V. Judge by held-out accuracy on V; lower reward.alpha or the weights of the V' terms"
        )

    def _entropy(self) -> str:
        before, after, _ = self._change("entropy")
        if not after < ENTROPY_SHARE * before:
            return ""
        return (
            f"the entropy of the completions fell from {before:.3f} to {after:.3f} nats a token: the policy nearly stopped exploring. Lower optim.lr, raise "
            "clip_eps_high or beta, or stop here"
        )

    def _length(self) -> str:
        before, after, _ = self._change("length")
        if not (after > LENGTH_FACTOR * before or after < before / LENGTH_FACTOR):
            return ""
        return (
            f"completions went from {before:.1f} to {after:.1f} tokens: look at samples.jsonl, and at the length rule and the normalizer (grpo favours short "
            "right and long wrong answers; dapo and dr_grpo do not)"
        )

    def _change(self, name: str) -> tuple[float, float, float]:
        """Mean of the first and of the last window, and the standard error of their difference; NaN where nothing was measured."""
        first, last = _measured(self.first, name), _measured(self.last, name)
        if len(first) < 2 or len(last) < 2:
            return math.nan, math.nan, math.nan
        error = math.sqrt(statistics.variance(first) / len(first) + statistics.variance(last) / len(last))
        return statistics.fmean(first), statistics.fmean(last), error


def _measured(rows: Sequence[Row], name: str) -> list[float]:
    values = [row.get(name) for row in rows]
    return [value for value in values if value is not None and math.isfinite(value)]
