"""What a report measures: the values of one cell and the videos they come from, and the intervals of all cells at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from videoperceiver import pages
from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.metrics import Row
from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.evaluation.statistics import Slices

MAX_VALUES = 12
"""An attribute with more values is an identifier, not a slice."""
SUBJECTS = {"False": "a brief event", "True": "what stays in view"}


@dataclass(frozen=True)
class Cell:
    """One number to be: the values (N,) it is the mean of, NaN where unscored, and the video (N,) of each."""

    row: str
    slice: str
    condition: str
    values: Sequence[float]
    videos: Sequence[str]
    differences: bool = False


def estimates(cells: Sequence[Cell]) -> list[pages.Estimate]:
    """Means with 95 % intervals, resampling videos; one set of draws serves all cells."""
    slices = Slices()
    names = [(str(index),) for index in range(len(cells))]
    for name, cell in zip(names, cells, strict=True):
        slices.add(name, cell.values, cell.videos, differences=cell.differences)
    found = slices.estimates()
    return [pages.Estimate(_known(found[name].value), _known(found[name].low), _known(found[name].high), found[name].num) for name in names]


def accuracy_cell(rows: Sequence[Row], row: str, slice: str, condition: str) -> Cell:
    """The accuracy of some prediction rows."""
    return Cell(row, slice, condition, [metrics.score(item) for item in rows], [item["video"] for item in rows])


def difference_cell(rows: Sequence[Row], others: Sequence[Row], label: str) -> Cell | None:
    """Score of the first minus that of the second on the questions that both hold; None where they share none."""
    pairs = shared(rows, others)
    if not pairs:
        return None
    values = [metrics.score(a) - metrics.score(b) for a, b in pairs]
    return Cell(label, "", "", values, [a["video"] for a, _ in pairs], differences=True)


def shared(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows about the same question, whatever their conditions; empty where there are none."""
    known = {(row["sample"], row["question"]) for row in others}
    return metrics.matched(rows, others) if any((row["sample"], row["question"]) in known for row in rows) else []


def selected(rows: Sequence[Row], condition: str, name: str = "", value: str = "") -> list[Row]:
    """Rows of one condition and, where named, of one value of an attribute."""
    return [row for row in rows if row["condition"] == condition and (not name or metrics.value_of(row, name) == value)]


def conditions(runs: Sequence[SavedRun]) -> list[str]:
    """The conditions that any run has, V and V′ first."""
    found = dict.fromkeys(str(row["condition"]) for run in runs for row in run.predictions)
    return sorted(found, key=lambda key: (key != "full", key != "degraded"))


def attributes(runs: Sequence[SavedRun]) -> dict[str, list[str]]:
    """What answers can be sliced by, as keys of `metrics.value_of` -> values: "static", "family", and tags with few values.

    Tags with a slash in their name are details of a sample and make no table.
    """
    tags = {str(tag) for run in runs for row in run.predictions for tag in row["tags"] if "/" not in str(tag)}
    keys = ["static", *(f"tags.{tag}" for tag in sorted(tags)), "family"]
    found = {key: sorted({value for run in runs for row in run.predictions if (value := metrics.value_of(row, key)) is not None}) for key in keys}
    return {key: values for key, values in found.items() if 1 < len(values) <= MAX_VALUES}


def attribute_words(key: str, value: str) -> tuple[str, str]:
    """An attribute and its value as a reader should see them."""
    return ("subject", SUBJECTS.get(value, value)) if key == "static" else (key.removeprefix("tags."), value)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
