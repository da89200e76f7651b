"""The tables and paired differences of a report, from the predictions of evaluation runs."""

from collections.abc import Sequence

from videoperceiver.evaluation.comparison import attributes, compare, conditions, estimate, selected
from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.pages import Column, Difference, Estimate, Model, Score, ScoreTable

CONDITIONS = {"full": "V", "degraded": "V′", "shuffled": "V shuffled", "blank": "blank frames", "text": "question alone"}
ALL = "all questions"


def accuracy_tables(evaluations: Sequence[SavedRun]) -> list[ScoreTable]:
    """All questions, which of them need the key frames, every slice, and the answers that could not be read."""
    if not evaluations:
        return []
    present = conditions(evaluations)
    rows = [Model(run.name, ours=index > 0 and index == len(evaluations) - 1) for index, run in enumerate(evaluations)]
    overall = [Score(run.name, "", key, estimate(selected(run.predictions, key))) for run in evaluations for key in present]
    tables = [ScoreTable("All questions", rows, [Column("", key, CONDITIONS.get(key, key)) for key in present], overall)]
    if {"full", "degraded"} <= set(present):
        tables.append(_needed(evaluations, rows))
    shown = ("full", "degraded") if len(evaluations) < 3 else ("full",)
    for name, values in attributes(evaluations).items():
        tables.append(_by_attribute(evaluations, name, values, [key for key in shown if key in present]))
    return [*tables, _unread(evaluations, rows, present)]


def _needed(evaluations: Sequence[SavedRun], rows: Sequence[Model]) -> ScoreTable:
    """The four ways a question can go on V and V′."""
    kinds = {"right on V only": (1, 0), "right on both": (1, 1), "wrong on both": (0, 0), "right on V′ only": (0, 1)}
    scores = []
    for run in evaluations:
        pairs = compare(selected(run.predictions, "full"), selected(run.predictions, "degraded"))
        for name, (on_full, on_degraded) in kinds.items():
            hits = [(video, float((a >= 0.5, b >= 0.5) == (bool(on_full), bool(on_degraded)))) for video, a, b in pairs]
            scores.append(Score(run.name, name, "", estimate(hits)))
    note = "Right on V and wrong on V′: the answer needed the key frames. Right on both: it could be had without them."
    return ScoreTable("Which questions need the key frames", rows, [Column(name, "", name) for name in kinds], scores, note=note)


def _by_attribute(evaluations: Sequence[SavedRun], name: str, values: Sequence[str], shown: Sequence[str]) -> ScoreTable:
    columns = [Column(run.name, key, CONDITIONS[key], run.name) for run in evaluations for key in shown]
    scores = [Score(value, run.name, key, estimate(selected(run.predictions, key, name, value))) for run in evaluations for key in shown for value in values]
    return ScoreTable(f"By {name}", [Model(value) for value in values], columns, scores, corner=name)


def _unread(evaluations: Sequence[SavedRun], rows: Sequence[Model], present: Sequence[str]) -> ScoreTable:
    """Shares of answers that could not be scored, or in which no answer was found."""
    scores, columns = [], []
    for key in present:
        columns += [Column("unscored", key, "not scored", CONDITIONS.get(key, key)), Column("unparsed", key, "no answer found", CONDITIONS.get(key, key))]
        for run in evaluations:
            asked = [row for row in run.predictions if row["condition"] == key]
            scores.append(Score(run.name, "unscored", key, _share([row["score"] is None for row in asked])))
            closed = [row for row in asked if row.get("kind") != "open" and "extracted" in row]
            scores.append(Score(run.name, "unparsed", key, _share([row["extracted"] is None for row in closed])))
    note = (
        "Answers that cannot be scored are left out of every accuracy above, and counted here. "
        "No answer found: of closed questions, those in whose completion none of the options could be read."
    )
    return ScoreTable("Answers that could not be read", rows, columns, scores, note=note)


def _share(flags: Sequence[bool]) -> Estimate:
    return Estimate(sum(flags) / len(flags), num=len(flags)) if flags else Estimate(None)


def evidence(evaluations: Sequence[SavedRun]) -> list[Difference]:
    """How much each run loses when it sees something else than V."""
    found = []
    for run in evaluations:
        for key in conditions([run]):
            pairs = compare(selected(run.predictions, "full"), selected(run.predictions, key))
            if key != "full" and pairs:
                label = f"{run.name}: V minus {CONDITIONS.get(key, key)}"
                found.append(Difference(label, estimate([(video, a - b) for video, a, b in pairs], share=False), run.name, key))
    return found


def differences_between(first: SavedRun, second: SavedRun) -> list[Difference]:
    """All shared questions, then each value of the attributes with few values."""
    few = {name: values for name, values in attributes([first, second]).items() if len(values) <= 4}
    slices = [("", "", ALL), *((name, value, f"{name}: {value}") for name, values in few.items() for value in values)]
    found = []
    for name, value, label in slices:
        pairs = compare(selected(second.predictions, "full", name, value), selected(first.predictions, "full", name, value))
        if pairs:
            found.append(Difference(label, estimate([(video, a - b) for video, a, b in pairs], share=False), second.name, first.name, label))
    return found
