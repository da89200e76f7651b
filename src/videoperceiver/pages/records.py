"""Scores and answers, as the pages take them: plain frozen records of numbers and words, free of files and models."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A share, or a difference of shares, between -1 and 1.

    Attributes:
        value: None or nan where it was not measured.
        low, high: its 95 % interval, None where there is none.
        num: answers it rests on, None if not told.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    num: int | None = None


@dataclass(frozen=True)
class Model:
    """One model of a comparison.

    Attributes:
        name: as in the tables ("stage 1").
        description: a few words under the name ("contrastive, true V′").
        ours: drawn in the accent colour; controls and references stay grey.
    """

    name: str
    description: str = ""
    ours: bool = False


@dataclass(frozen=True)
class Score:
    """Accuracy of one model on one slice of the questions under one condition."""

    model: str
    slice: str
    condition: str
    estimate: Estimate


@dataclass(frozen=True)
class Difference:
    """A paired difference: accuracy of `model` minus accuracy of `against`, on the same questions.

    Attributes:
        label: what was compared, in words.
        estimate: the difference and its interval, as shares (0.22 = 22 points).
        model, against, slice: which scores it pairs, for the sentences of the demo; may be empty elsewhere.
        p_value: of a paired test, adjusted for the rows of its table; None where none was made.
    """

    label: str
    estimate: Estimate
    model: str = ""
    against: str = ""
    slice: str = ""
    p_value: float | None = None


@dataclass(frozen=True)
class Column:
    """One column of an accuracy table: which scores it holds and what stands over it."""

    slice: str
    condition: str
    heading: str
    group: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """A table of accuracies: the score of a cell is found by (row name, column slice, column condition).

    Attributes:
        title: what is compared.
        rows: one each; the description stands under the name.
        columns: in order.
        scores: missing ones read "not measured".
        corner: heading of the first column.
        note: a sentence over the table.
    """

    title: str
    rows: Sequence[Model]
    columns: Sequence[Column]
    scores: Sequence[Score]
    corner: str = "run"
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What one model said to one question.

    Attributes:
        model: who.
        text: the completion, as generated.
        correct: None where it could not be scored.
        condition: what the model saw ("V", "V′").
    """

    model: str
    text: str
    correct: bool | None
    condition: str = "V"


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question, its reference and the answers to it."""

    question: str
    reference: str
    answers: tuple[Answer, ...]
