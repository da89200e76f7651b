"""Slices of predictions, paired on the same questions, with intervals that treat one video's questions as one draw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.pages import Estimate

Row = Mapping[str, Any]
Key = tuple[str, str, str]
MAX_VALUES = 12
"""An attribute with more values is an identifier, not a slice."""


def by_key(rows: Sequence[Row]) -> dict[Key, Row]:
    """Rows by (sample, question, condition)."""
    return {(row["sample"], row["question"], row["condition"]): row for row in rows}


def conditions(runs: Sequence[SavedRun]) -> list[str]:
    """The conditions that any run has, V first."""
    found = dict.fromkeys(str(row["condition"]) for run in runs for row in run.predictions)
    return sorted(found, key=lambda key: (key != "full", key != "degraded"))


def attributes(runs: Sequence[SavedRun]) -> dict[str, list[str]]:
    """What answers can be sliced by: question family, whether the question is about something brief, and tags with few values.

    Tags with a slash in their name are details of a sample and make no table.
    """
    found: dict[str, set[str]] = {}
    for run in runs:
        for row in run.predictions:
            for name, value in _labels(row).items():
                found.setdefault(name, set()).add(value)
    return {name: sorted(values) for name, values in sorted(found.items(), key=lambda item: len(item[1])) if 1 < len(values) <= MAX_VALUES}


def selected(rows: Sequence[Row], condition: str, name: str = "", value: str = "") -> list[Row]:
    """Scored rows of one condition and, where named, one slice."""
    return [row for row in rows if row["condition"] == condition and row["score"] is not None and (not name or _labels(row).get(name) == value)]


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[str, float, float]]:
    """(video, score, score) of the questions that both hold, whatever their conditions."""
    other = {(row["sample"], row["question"]): row["score"] for row in second}
    return [(_video(row), row["score"], other[row["sample"], row["question"]]) for row in first if (row["sample"], row["question"]) in other]


def estimate(rows: Sequence[Row] | Sequence[tuple[str, float]], *, share: bool = True) -> Estimate:
    """Mean with its 95 % interval, clustered by video.

    The variance is the cluster-robust (sandwich) one with the C/(C-1) correction, the quantile Student's with C-1 degrees of freedom.
    A share's interval is Wilson's (1927) with the effective number of answers p(1-p)/variance, so that it stays inside 0 to 1 and
    does not collapse where every answer is right: there the number of videos is taken.

    Args:
        rows: scored prediction rows, or (video, value) pairs.
        share: whether the values lie between 0 and 1; else the interval is symmetric (differences).
    """
    pairs = [(_video(row), float(row["score"])) if isinstance(row, Mapping) else row for row in rows]
    if not pairs:
        return Estimate(None)
    names, index = np.unique([video for video, _ in pairs], return_inverse=True)
    values = np.array([value for _, value in pairs], dtype=float)
    mean, count, clusters = float(values.mean()), len(values), len(names)
    if clusters < 2:
        return Estimate(mean, num=count)
    sums = np.bincount(index, weights=values - mean, minlength=clusters)  # (C,)
    variance = float((sums**2).sum()) / count**2 * clusters / (clusters - 1)
    quantile = float(student.ppf(0.975, clusters - 1))
    if not share:
        half = quantile * math.sqrt(variance)
        return Estimate(mean, mean - half, mean + half, count)
    effective = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(clusters)
    centre = (mean + quantile**2 / (2 * effective)) / (1 + quantile**2 / effective)
    half = quantile * math.sqrt(mean * (1 - mean) / effective + quantile**2 / (4 * effective**2)) / (1 + quantile**2 / effective)
    return Estimate(mean, max(centre - half, 0.0), min(centre + half, 1.0), count)


def _video(row: Row) -> str:
    return str(row.get("video") or row["sample"])


def _labels(row: Row) -> dict[str, str]:
    labels = {"family": str(row["family"])} if row.get("family") else {}
    if "static" in row:
        labels["subject"] = "what stays in view" if row["static"] else "a brief event"
    return labels | {str(name): str(value) for name, value in (row.get("tags") or {}).items() if "/" not in str(name)}
