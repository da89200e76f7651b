"""Scores of prediction rows and of single answers; plain numbers, no intervals (those are in `statistics`).

A row is one line of predictions.jsonl. A closed question whose completion could not be read counts as wrong and is reported
apart as unparsed; an open one without a score is left out.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]

MRA_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""VSI-Bench's .50, .55 .. .95 (arXiv 2412.14171) in the official code's own doubles, which decide errors of exactly 5, 10 .. 50 %."""


def is_unparsed(row: Row) -> bool:
    """Whether no answer to a closed question could be read. Questions whose answer is hidden are never scored, so they do not count."""
    return row["kind"] != "open" and row["extracted"] is None and row["reference"] != ""


def score(row: Row) -> float:
    """A row's score: 0 where unparsed, NaN where an open answer was not scored or the reference is hidden (empty)."""
    if row["score"] is not None:
        return float(row["score"])
    return math.nan if row["kind"] == "open" or row["reference"] == "" else 0.0


def accuracy(rows: Iterable[Row]) -> float:
    """Mean score; NaN without scored rows."""
    scores = [value for value in map(score, rows) if not math.isnan(value)]
    return sum(scores) / len(scores) if scores else math.nan


def unparsed_rate(rows: Iterable[Row]) -> float:
    """Share of the closed questions that could not be read; NaN without any."""
    flags = [is_unparsed(row) for row in rows if row["kind"] != "open" and row["reference"] != ""]
    return sum(flags) / len(flags) if flags else math.nan


def value_of(row: Row, key: str) -> str | None:
    """A column ("family", "condition", ..) or a tag ("tags.cue") as text; None where the row lacks it."""
    value = row["tags"].get(key.removeprefix("tags.")) if key.startswith("tags.") else row.get(key)
    return None if value is None else str(value)


def grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """Rows by the value of a key, see `value_of`; rows without it are left out."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if (value := value_of(row, key)) is not None:
            groups[value].append(row)
    return dict(sorted(groups.items()))


def majority_accuracy(rows: Sequence[Row]) -> float:
    """What the best constant answer a family would reach on these very references: the floor a model has to leave.

    Open questions are left out; NaN without closed ones.
    """
    closed = [row for row in rows if row["kind"] != "open" and row["reference"] != ""]
    best = sum(max(Counter(row["reference"] for row in group).values()) for group in grouped(closed, "family").values())
    return best / len(closed) if closed else math.nan


def macro_mean(values: Iterable[float]) -> float:
    """Unweighted mean; NaN if empty, or if any part is NaN: a mean over fewer categories is another number."""
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def strict_accuracy(rows: Iterable[Row], key: str = "tags.pair") -> float:
    """Share of groups (pairs) with every member right, as paired counterfactual benchmarks count.

    Raises:
        ValueError: a group has a single member.
    """
    groups = grouped(rows, key)
    if single := next((name for name, group in groups.items() if len(group) < 2), None):
        raise ValueError(f"group {single!r} of {key!r} has one member, expected at least two; a lone half cannot be scored as a pair")
    return sum(all(score(row) == 1.0 for row in group) for group in groups.values()) / len(groups) if groups else math.nan


def key_of(row: Row) -> tuple[str, str, str]:
    """What identifies a prediction: sample, question, condition."""
    return row["sample"], row["question"], row["condition"]


def matched(rows: Iterable[Row], others: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Pairs of rows about the same sample and question, in the first one's order; the condition may differ.

    Raises:
        ValueError: a question occurs twice on one side, or none occurs on both.
    """
    first, second = ({} for _ in range(2))
    for side, found in ((rows, first), (others, second)):
        for row in side:
            name = row["sample"], row["question"]
            if name in found:
                raise ValueError(f"question {name[1]!r} of sample {name[0]!r} occurs twice; compare one condition and one run at a time")
            found[name] = row
    pairs = [(row, second[name]) for name, row in first.items() if name in second]
    if not pairs:
        raise ValueError(f"the two sides ({len(first)} and {len(second)} rows) share no question; were they made from the same manifest?")
    return pairs


def mean_relative_accuracy(prediction: float | None, target: float) -> float:
    """VSI-Bench's MRA: share of the ten thresholds t with |prediction - target| / target <= 1 - t.

    Args:
        prediction: None or NaN counts as 0.
        target: 0 is matched by 0 alone (the official code divides by it).
    """
    if prediction is None or math.isnan(prediction):
        return 0.0
    if target == 0:
        return float(prediction == 0)
    error = abs(prediction - target) / abs(target)
    return sum(error <= 1 - threshold for threshold in MRA_THRESHOLDS) / len(MRA_THRESHOLDS)


def delta_knowledge(adaptation: float, question_only: float) -> float:
    """Video-MMMU's gain from watching: (adaptation - question only) / (100 - question only) * 100, accuracies in percent.

    Raises:
        ValueError: nothing was left to learn (question only is 100).
    """
    if question_only >= 100:
        raise ValueError(f"question-only accuracy is {question_only} %: no gain can be measured above 100 %")
    return (adaptation - question_only) / (100 - question_only) * 100


# Temporal grounding and key-frame search

_NUMBER = r"(\d+(?:\.\d+)?)\s*(?:s|sec|seconds?)?"
_SPAN = re.compile(rf"{_NUMBER}\s*(?:-|–|—|~|to|until|and|,)\s*{_NUMBER}(?![\d.]*\d)", re.IGNORECASE)


def first_span(text: str | None) -> tuple[float, float] | None:
    """The first "a - b" in seconds of an answer (Charades-STA's protocol); None without one or where it ends before it starts."""
    match = _SPAN.search(text or "")
    if match is None:
        return None
    start_s, end_s = float(match[1]), float(match[2])
    return (start_s, end_s) if start_s <= end_s else None


def temporal_iou(span: tuple[float, float] | None, reference: tuple[float, float]) -> float:
    """Intersection over union of two spans in seconds; 0 for None. Two equal points overlap fully."""
    if span is None:
        return 0.0
    overlap = min(span[1], reference[1]) - max(span[0], reference[0])
    union = max(span[1], reference[1]) - min(span[0], reference[0])
    if union == 0:
        return 1.0
    return max(0.0, overlap) / union


def recall_at(ious: Sequence[float], threshold: float) -> float:
    """R@1: share of answers with IoU at or above the threshold; NaN without answers."""
    return sum(iou >= threshold for iou in ious) / len(ious) if ious else math.nan


def hit_scores(predicted_s: Sequence[float], reference_s: Sequence[float], radius_s: float = 5.0) -> tuple[float, float, float]:
    """Precision, recall and F1 of key-frame times, a hit being |difference| <= radius_s (LV-Haystack); all in source seconds.

    Args:
        predicted_s: may be empty (then all three are 0).
        reference_s: at least one.
        radius_s: seconds.
    """
    if not len(reference_s):
        raise ValueError("there are no reference times, expected at least one; leave such a sample out")
    if not len(predicted_s):
        return 0.0, 0.0, 0.0
    near = np.abs(np.asarray(predicted_s)[:, None] - np.asarray(reference_s)[None, :]) <= radius_s  # (P, R)
    precision, recall = float(near.any(axis=1).mean()), float(near.any(axis=0).mean())
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0
