"""The tables and paired differences of a report, from the predictions of evaluation runs."""

import math
from collections.abc import Sequence
from dataclasses import replace

from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.comparison import (
    Cell,
    accuracy_cell,
    attribute_words,
    attributes,
    conditions,
    difference_cell,
    estimates,
    selected,
    shared,
)
from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.evaluation.statistics import holm, permutation_test
from videoperceiver.evaluation.words import CONDITIONS
from videoperceiver.pages import Column, Difference, Model, Score, ScoreTable

ALL = "all questions"
BY_FAMILY = "By family"
OVERALL = "All questions"
"""How the title of the first table ends."""
Draft = tuple[ScoreTable, list[Cell]]
"""A table and the cells that will be its scores."""

_NEEDED = {"right on V only": (True, False), "right on both": (True, True), "wrong on both": (False, False), "right on V′ only": (False, True)}
_UNREAD_NOTE = (
    "A closed question in whose answer none of the options could be read counts as wrong above. "
    "An answer to an open question that could not be scored is left out above."
)


def accuracy_tables(evaluations: Sequence[SavedRun]) -> list[ScoreTable]:
    """All questions, which of them need the key frames, every slice, and the answers that could not be read."""
    if not evaluations:
        return []
    present = conditions(evaluations)
    rows = [Model(run.name, ours=index > 0 and index == len(evaluations) - 1) for index, run in enumerate(evaluations)]
    shown = [key for key in ("full", "degraded")[: 2 if len(evaluations) < 3 else 1] if key in present]
    drafts = [_overall(evaluations, rows, present)]
    if {"full", "degraded"} <= set(present):
        drafts.append(_needed(evaluations, rows))
    drafts += [_by_attribute(evaluations, key, values, shown) for key, values in attributes(evaluations).items()]
    drafts.append(_unread(evaluations, rows, present))
    return _filled(drafts)


def evidence(evaluations: Sequence[SavedRun]) -> list[Difference]:
    """How much each run loses when it sees something else than V."""
    cells = [
        (run.name, key, difference_cell(selected(run.predictions, "full"), selected(run.predictions, key), f"{run.name}: V minus {CONDITIONS.get(key, key)}"))
        for run in evaluations
        for key in conditions([run])
        if key != "full"
    ]
    kept = [(name, key, cell) for name, key, cell in cells if cell is not None]
    found = estimates([cell for _, _, cell in kept])
    return [Difference(cell.row, value, name, key) for (name, key, cell), value in zip(kept, found, strict=True)]


def differences_between(first: SavedRun, second: SavedRun) -> list[Difference]:
    """The second minus the first on V: all shared questions, then each value of the attributes with few values; p-values by Holm."""
    slices = [("", "", ALL)]
    for key, values in attributes([first, second]).items():
        slices += [(key, value, ": ".join(attribute_words(key, value))) for value in values] if len(values) <= 4 else []
    cells = [difference_cell(selected(second.predictions, "full", *at), selected(first.predictions, "full", *at), label) for *at, label in slices]
    kept = [cell for cell in cells if cell is not None]
    adjusted = holm([permutation_test(cell.values, cell.videos) for cell in kept])
    return [
        Difference(cell.row, value, second.name, first.name, cell.row, p_value) for cell, value, p_value in zip(kept, estimates(kept), adjusted, strict=True)
    ]


def _filled(drafts: Sequence[Draft]) -> list[ScoreTable]:
    """Estimate all cells with one set of draws and put them into their tables."""
    values = iter(estimates([cell for _, cells in drafts for cell in cells]))
    return [replace(table, scores=[Score(cell.row, cell.slice, cell.condition, next(values)) for cell in cells]) for table, cells in drafts]


def _overall(evaluations: Sequence[SavedRun], rows: Sequence[Model], present: Sequence[str]) -> Draft:
    cells = [accuracy_cell(selected(run.predictions, key), run.name, "", key) for run in evaluations for key in present]
    return ScoreTable(OVERALL, rows, [Column("", key, CONDITIONS.get(key, key)) for key in present], ()), cells


def _needed(evaluations: Sequence[SavedRun], rows: Sequence[Model]) -> Draft:
    """The four ways a question can go on V and V′."""
    cells = []
    for run in evaluations:
        pairs = shared(selected(run.predictions, "full"), selected(run.predictions, "degraded"))
        scored = [(row["video"], metrics.score(row), metrics.score(other)) for row, other in pairs]
        scored = [(video, a >= 0.5, b >= 0.5) for video, a, b in scored if not (math.isnan(a) or math.isnan(b))]
        videos = [video for video, _, _ in scored]
        cells += [Cell(run.name, name, "", [float((a, b) == kind) for _, a, b in scored], videos) for name, kind in _NEEDED.items()]
    note = "Right on V and wrong on V′: the answer needed the key frames. Right on both: it could be had without them."
    return ScoreTable("Which questions need the key frames", rows, [Column(name, "", name) for name in _NEEDED], (), note=note), cells


def _by_attribute(evaluations: Sequence[SavedRun], key: str, values: Sequence[str], shown: Sequence[str]) -> Draft:
    columns = [Column(run.name, condition, CONDITIONS[condition], run.name) for run in evaluations for condition in shown]
    cells = [
        accuracy_cell(selected(run.predictions, condition, key, value), attribute_words(key, value)[1], run.name, condition)
        for run in evaluations
        for condition in shown
        for value in values
    ]
    names = [attribute_words(key, value) for value in values]
    return ScoreTable(f"By {names[0][0]}", [Model(name) for _, name in names], columns, (), corner=names[0][0]), cells


def _unread(evaluations: Sequence[SavedRun], rows: Sequence[Model], present: Sequence[str]) -> Draft:
    """Shares of answers that could not be scored, or in which no answer was found."""
    cells, columns = [], []
    for key in present:
        columns += [Column("unparsed", key, "no answer found", CONDITIONS.get(key, key)), Column("unscored", key, "not scored", CONDITIONS.get(key, key))]
        for run in evaluations:
            asked = selected(run.predictions, key)
            closed, free = [row for row in asked if row["kind"] != "open"], [row for row in asked if row["kind"] == "open"]
            cells.append(Cell(run.name, "unparsed", key, [float(metrics.is_unparsed(row)) for row in closed], [row["video"] for row in closed]))
            cells.append(Cell(run.name, "unscored", key, [float(row["score"] is None) for row in free], [row["video"] for row in free]))
    used = {(cell.slice, cell.condition) for cell in cells if len(cell.values)}
    columns = [column for column in columns if (column.slice, column.condition) in used]
    return ScoreTable("Answers that could not be read", rows, columns, (), note=_UNREAD_NOTE), cells
