"""From rows to effects: paired differences of two arms, their intervals over seeds and clips, corrected p-values, verdicts by rule, power.

A difference is paired twice: both arms start from the same backbone of a seed, and answer the same clips. Its standard error comes from a
hierarchical bootstrap (seeds, and clips within each drawn seed), widened for the small number of seeds, and its interval uses Student's t:
the percentile bootstrap of ten seeds would be too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from videoperceiver.lab.rows import Row
from videoperceiver.lab.study import FULL, STATIC

LEVEL = 0.95
SMALLEST = 0.03
"""The smallest effect worth having: 3 points of accuracy. Fixed before the study; an interval inside (-3, 3) says "does not"."""
HELPS, HARMS, NOTHING, UNDECIDED = "helps", "harms", "makes no difference of 3 points", "undecided"


@dataclass(frozen=True)
class Effect:
    """What one arm is above another on one slice.

    Attributes:
        value: mean over seeds of the mean difference in accuracy; NaN without seeds.
        low, high: its 95 % interval; NaN with fewer than two seeds.
        p_value: of the t test on value / standard error; NaN where there is no interval.
        seeds: which both arms have.
        by_seed: (S,) mean difference of each.
    """

    value: float
    low: float
    high: float
    p_value: float
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]

    @property
    def num_above(self) -> int:
        """Seeds in which the difference is above 0."""
        return sum(value > 0 for value in self.by_seed)


def clip_scores(row: Row, name: str) -> np.ndarray:
    """(clips,) mean accuracy of a row's clips on a slice.

    Args:
        row: of one arm and seed.
        name: a test ("conflict": its questions about events, on V), a test and condition ("conflict/degraded"), one question of it
            ("conflict:count"), or "static": the scenery, over agree and conflict.

    Raises:
        KeyError: the row has no such test.
        ValueError: no question belongs to the slice.
    """
    test, _, question = name.partition(":")
    if test == STATIC:
        columns = np.array(row.static)
        tests = [row.tests[f"{half}/{FULL}"] for half in ("agree", "conflict")]
    else:
        columns = np.array([asked == question for asked in row.questions]) if question else ~np.array(row.static)
        tests = [row.tests[test if "/" in test else f"{test}/{FULL}"]]
    if not columns.any():
        raise ValueError(f"slice {name!r} holds no question of {', '.join(row.questions)}")
    return np.concatenate([answers.correct[:, columns].mean(axis=1) for answers in tests])


def by_seed(rows: Sequence[Row], arm: str) -> dict[int, Row]:
    """The rows of an arm."""
    return {row.seed: row for row in rows if row.arm == arm}


def effect(rows: Sequence[Row], arm: str, against: str, name: str) -> Effect:
    """The paired effect of one arm over another, over the seeds that both have."""
    first, second = by_seed(rows, arm), by_seed(rows, against)
    seeds = sorted(first.keys() & second.keys())
    return paired([clip_scores(first[seed], name) - clip_scores(second[seed], name) for seed in seeds], seeds)


def paired(differences: Sequence[np.ndarray], seeds: Sequence[int] = ()) -> Effect:
    """Mean of differences and its interval.

    Args:
        differences: one array (clips,) a seed.
        seeds: their names.

    Returns:
        value +- t * se with t Student's quantile for S - 1 degrees of freedom and se the bootstrap's standard error times sqrt(S / (S - 1)), which makes up
        for a bootstrap's variance being that of the sample and not of the population.
    """
    seeds = tuple(seeds) or tuple(range(len(differences)))
    means = np.array([values.mean() for values in differences])
    value = float(means.mean()) if len(means) else math.nan
    if len(means) < 2:
        return Effect(value, math.nan, math.nan, math.nan, seeds, tuple(means.tolist()))
    error = bootstrap_error(differences) * math.sqrt(len(means) / (len(means) - 1))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(means) - 1)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, len(means) - 1)) if error > 0 else float(value == 0)
    return Effect(value, value - half, value + half, p_value, seeds, tuple(means.tolist()))


def bootstrap_error(differences: Sequence[np.ndarray]) -> float:
    """Standard deviation of the mean over seeds when seeds, and clips within each drawn seed, are drawn with replacement.

    In closed form, so that nothing is random: each of the S draws has the variance of the seeds' means plus the mean variance of a redrawn seed's mean.
    """
    between = np.var([values.mean() for values in differences])
    within = np.mean([values.var() / len(values) for values in differences])
    return math.sqrt(float(between + within) / len(differences))


def verdict(found: Effect, adjusted: float, num_planned: int) -> str:
    """What may be said, by rule.

    Args:
        found: the effect.
        adjusted: its p-value corrected for the comparisons of its family.
        num_planned: seeds that were planned; with fewer nothing is said yet.

    Returns:
        `helps` or `harms` where the 95 % interval excludes 0 and the adjusted p-value is below .05; `makes no difference of 3 points` where the interval lies
        within 3 points of 0; otherwise `undecided`.
    """
    if len(found.seeds) < num_planned or math.isnan(found.p_value):
        return UNDECIDED
    if found.low > 0 and adjusted < 1 - LEVEL:
        return HELPS
    if found.high < 0 and adjusted < 1 - LEVEL:
        return HARMS
    return NOTHING if found.low > -SMALLEST and found.high < SMALLEST else UNDECIDED


def detectable(deviation: float, num_seeds: int, *, comparisons: int = 1, power: float = 0.8) -> float:
    """The effect that a paired t test over seeds finds with a given probability.

    Args:
        deviation: standard deviation of the difference between seeds.
        num_seeds: S.
        comparisons: that the test's level of .05 is divided by (Bonferroni: the first step of Holm's correction).
        power: that probability.
    """
    freedom = num_seeds - 1
    critical = stats.t.ppf(1 - (1 - LEVEL) / (2 * comparisons), freedom)
    low, high = 0.0, 100.0
    while high - low > 1e-6:  # power grows with the effect
        middle = (low + high) / 2
        found = stats.nct.sf(critical, freedom, middle * math.sqrt(num_seeds))
        low, high = (middle, high) if found < power else (low, middle)
    return deviation * high


def cost(rows: Sequence[Row], arm: str) -> float:
    """Mean processor seconds of an arm's own training; NaN without rows."""
    found = [row.cpu_s["train"] for row in by_seed(rows, arm).values()]
    return float(np.mean(found)) if found else math.nan
