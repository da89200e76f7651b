"""Accuracies with their intervals: a chart of dots on one shared scale, and tables that hold the same numbers."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.html import render
from videoperceiver.pages.records import Column, Difference, Estimate, Model, Score
from videoperceiver.pages.scales import Axis


def accuracy_chart(
    models: Sequence[Model], scores: Sequence[Score], slices: Sequence[tuple[str, str]], *, condition: str = "V", chance: Mapping[str, float] | None = None
) -> Markup:
    """One row a model, one panel a slice: a dot for the accuracy, a bar for its 95 % interval, on 0 to 100 %.

    Args:
        models: rows in order; the paper's own models are drawn in the accent colour.
        scores: every combination may be missing; a missing one is written as such.
        slices: (key, heading) of each panel.
        condition: which condition of the scores is drawn.
        chance: slice -> accuracy of the best constant answers, drawn as a dashed line.
    """
    found = _index(scores)
    rows = [(model, [_dot(found.get((model.name, key, condition))) for key, _ in slices]) for model in models]
    lines = [_SCALE.percent((chance or {})[key]) if key in (chance or {}) else None for key, _ in slices]
    return render("accuracy_chart", rows=rows, headings=[heading for _, heading in slices], chance=lines, marks=_MARKS)


def accuracy_table(rows: Sequence[Model], scores: Sequence[Score], columns: Sequence[Column], *, caption: str, corner: str = "model", note: str = "") -> Markup:
    """Numbers with intervals and a small bar each.

    Args:
        rows: one model (or any other named row) each.
        scores: looked up by (row, slice, condition).
        columns: in order; neighbours with the same group share a spanning heading.
        caption: read above the table.
        corner: heading of the first column.
        note: a sentence under the caption.
    """
    found = _index(scores)
    groups: list[list] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1][1] += 1
        else:
            groups.append([column.group, 1])
    body = [(row, [_cell(found.get((row.name, column.slice, column.condition))) for column in columns]) for row in rows]
    return render(
        "accuracy_table", body=body, columns=columns, groups=groups if any(name for name, _ in groups) else [], caption=caption, corner=corner, note=note
    )


def difference_table(differences: Sequence[Difference], *, caption: str) -> Markup:
    """Paired differences in points, each as a bar around zero, with what they allow one to say."""
    reach = max([abs(edge) for item in differences for edge in _edges(item.estimate)], default=0.1) or 0.1
    scale = Axis(-reach, reach, 3, 97)
    rows = [
        (item.label, _cell(item.estimate, sign=True), _whisker(item.estimate, scale), words.p_value(item.p_value), words.verdict(item.estimate))
        for item in differences
    ]
    return render("difference_table", rows=rows, caption=caption, zero=scale.percent(0), tested=any(item.p_value is not None for item in differences))


_SCALE = Axis(0, 1, 1, 99)
_MARKS = [(label, _SCALE.percent(value)) for label, value in (("0", 0), ("25", 0.25), ("50", 0.5), ("75", 0.75), ("100 %", 1))]


def _index(scores: Sequence[Score]) -> dict[tuple[str, str, str], Estimate]:
    return {(score.model, score.slice, score.condition): score.estimate for score in scores}


def _edges(estimate: Estimate) -> list[float]:
    return [value for value in (estimate.value, estimate.low, estimate.high) if words.known(value)]


def _whisker(estimate: Estimate, scale: Axis) -> dict[str, str] | None:
    """Places of a dot and its interval, None where nothing was measured."""
    if not words.known(estimate.value):
        return None
    low, high = (estimate.low, estimate.high) if words.known(estimate.low) and words.known(estimate.high) else (estimate.value, estimate.value)
    return {"x": scale.percent(estimate.value), "low": scale.percent(low), "high": scale.percent(high)}


def _dot(estimate: Estimate | None) -> dict[str, object] | None:
    if estimate is None or (whisker := _whisker(estimate, _SCALE)) is None:
        return None
    flip = max(_edges(estimate)) > 0.82  # the number stands on the side that has room
    said = f"{words.percent(estimate.value, 1)}, interval {words.interval(estimate)} %" if words.interval(estimate) else words.percent(estimate.value, 1)
    return {**whisker, "label": words.percent(estimate.value), "at": whisker["low" if flip else "high"], "flip": flip, "said": said}


def _cell(estimate: Estimate | None, sign: bool = False) -> dict[str, object] | None:
    if estimate is None or not words.known(estimate.value):
        return None
    value = words.points(estimate.value) if sign else f"{100 * estimate.value:.1f}"
    width = f"{100 * min(max(estimate.value, 0), 1):.1f}%"
    return {"value": value, "interval": words.interval(estimate, sign=sign), "width": width, "num": estimate.num}
