"""Columns of a benchmark's table: what each is the mean of, its value, and its interval clustered by video.

A column is a measure, or a tuple of columns, of which it is the unweighted mean. So "mean of twenty tasks" is a tuple of twenty pools, and
VSI-Bench's directions, averaged into one score first, are a tuple inside a tuple.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

import numpy as np

from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.compact import CompactRows
from videoperceiver.evaluation.metrics import Row
from videoperceiver.evaluation.statistics import Estimate, Slices

Measure: TypeAlias = Callable[[Sequence[Row]], list[tuple[float, str]]]
"""Rows of one condition -> (value from 0 to 1, the video it belongs to) of everything the mean is taken over; NaN values are left out."""
Column: TypeAlias = Union[Measure, "tuple[Column, ...]"]


@dataclass(frozen=True, eq=False)
class Pool:
    """All rows of some families (of all families where none is named), each counting once; see `pool`."""

    families: tuple[str, ...]
    value: Callable[[Row], float]

    def __call__(self, rows: Sequence[Row]) -> list[tuple[float, str]]:
        return [(self.value(row), row["video"]) for row in rows if not self.families or row["family"] in self.families]

    def of_compact(self, rows: CompactRows) -> tuple[np.ndarray, np.ndarray]:
        """Values (N,) and codes (N,) of their videos; plain scores are taken as they lie."""
        chosen = rows.where(rows.is_in("family", self.families)) if self.families else rows
        values = chosen.values if self.value is metrics.score else np.fromiter(map(self.value, chosen), dtype=np.float64, count=len(chosen))
        return values, chosen.videos


def pool(*families: str, value: Callable[[Row], float] = metrics.score) -> Pool:
    """A measure: the value of each row of some families, or of all."""
    return Pool(families, value)


def tabulate(rows: Sequence[Row], columns: Mapping[str, Column]) -> dict[str, float]:
    """Column -> percent; NaN where a part of it has no value: a mean over fewer parts is another number."""
    means = {measure: _mean(measure(rows)) for column in columns.values() for _, measure in weights(column)}

    def value(column: Column) -> float:
        return metrics.macro_mean(value(inner) for inner in column) if isinstance(column, tuple) else means[column]

    return {name: 100 * value(column) for name, column in columns.items()}


def estimate_columns(groups: Mapping[str, Sequence[Row]], columns: Mapping[str, Column], *, seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """Group of rows (a condition, a scorer) -> column -> share with its 95 % interval, resampling videos; one set of draws serves all.

    Compact groups must be parts of one set.
    """
    slices = Slices(seed=seed, names=next((rows.video_names for rows in groups.values() if isinstance(rows, CompactRows)), ()))
    for group, rows in groups.items():
        names: dict[Measure, tuple[str, ...]] = {}
        for column in columns.values():
            for _, measure in weights(column):
                if measure not in names:
                    names[measure] = ("part", group, str(len(names)))
                    slices.add(names[measure], *_measured(measure, rows))
        for name, column in columns.items():
            slices.mix(("column", group, name), [(names[measure], weight) for weight, measure in weights(column)])
    found = slices.estimates()
    return {group: {name: found["column", group, name] for name in columns} for group in groups}


def _measured(measure: Measure, rows: Sequence[Row]) -> tuple[Sequence[float] | np.ndarray, Sequence[str] | np.ndarray]:
    """Values of a measure and their videos."""
    if isinstance(measure, Pool) and isinstance(rows, CompactRows):
        return measure.of_compact(rows)
    pairs = measure(rows)
    return [value for value, _ in pairs], [video for _, video in pairs]


def weights(column: Column, weight: float = 1.0) -> list[tuple[float, Measure]]:
    """A column as a weighted sum of measures' means."""
    if not isinstance(column, tuple):
        return [(weight, column)]
    return [part for inner in column for part in weights(inner, weight / len(column))]


def _mean(values: Sequence[tuple[float, str]]) -> float:
    known = [value for value, _ in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
