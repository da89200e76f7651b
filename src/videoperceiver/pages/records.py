"""What the pages are made from: plain frozen records of arrays, numbers and words, free of files and models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from videoperceiver.types import Span

Rows = Sequence[Mapping[str, object]]
"""Rows of metrics.jsonl: `{"step": int, "time_s": float, "sft/loss": float, ..}`; a key may be missing from some rows."""


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


@dataclass(frozen=True, eq=False)
class ClipFigure:
    """One clip as a figure: relevance over time, and the filmstrip of V over V′.

    Attributes:
        title: what the clip is.
        frames: (N, H, W, 3) uint8 thumbnails of the frames `frames_idx` of the clip.
        t_s: (T,) source seconds of every frame of the clip.
        frames_idx: (N,) which frames of the clip the thumbnails show; None where N = T.
        scores: (T,) keyword relevance, or empty.
        degraded_scores: (T,) relevance of V′, or empty.
        keyframes_idx: indices into the clip.
        runs: contiguous frame ranges around the key frames.
        spans: annotated events.
        source_idx: (T,) frame i of V′ shows frame source_idx[i] of V; empty where there is no V′.
        operator: name of the degradation.
        removed: outcome of the residual check, None if not measured.
        keywords: what relevance was measured against.
        relevance: name of the relevance backend.
        note: a line under the title.
        answers: questions with the answers of several models.
    """

    title: str
    frames: np.ndarray
    t_s: Sequence[float]
    frames_idx: Sequence[int] | None = None
    scores: Sequence[float] = ()
    degraded_scores: Sequence[float] = ()
    keyframes_idx: Sequence[int] = ()
    runs: Sequence[range] = ()
    spans: Sequence[Span] = ()
    source_idx: Sequence[int] = ()
    operator: str = ""
    removed: bool | None = None
    keywords: Sequence[str] = ()
    relevance: str = ""
    note: str = ""
    answers: Sequence[AnsweredQuestion] = ()

    @property
    def replaced_idx(self) -> tuple[int, ...]:
        """Frames of V′ that show another frame of V."""
        return tuple(i for i, j in enumerate(self.source_idx) if i != j)


@dataclass(frozen=True)
class CurvePanel:
    """One small multiple: a scalar of metrics.jsonl over the steps.

    Attributes:
        key: its name there ("sft/loss").
        title: what it is, in words.
        percent: write it as a percentage.
        noisy: draw a moving mean over long series; False for schedules, which have no noise.
    """

    key: str
    title: str
    percent: bool = False
    noisy: bool = True


@dataclass(frozen=True)
class CurveGroup:
    """The training curves of one stage.

    Attributes:
        title: the stage.
        series: name -> rows; the first is drawn in the accent colour, up to four.
        panels: what is drawn, one panel each.
        note: what to see in them.
    """

    title: str
    series: Mapping[str, Rows]
    panels: Sequence[CurvePanel]
    note: str = ""


@dataclass(frozen=True)
class Phase:
    """A part of the run and how long it took."""

    name: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class DemoReport:
    """Everything the demo's report says.

    Attributes:
        models: rows of the headline in order: backbone, controls, then the stages (`ours=True`). The title compares the first stage with the last control.
        scores: accuracies by model, slice ("agree", "conflict") and condition ("V", "V′").
        differences: paired differences, first the ones that matter.
        chance: slice -> accuracy of the best constant answers; may be empty.
        clips: figures of rendered clips.
        real_clips: figures of real clips.
        curves: one group a stage.
        phases: where the time went.
        steps: (title, text): what happened, in plain words; see `pages.demo_steps`.
        facts: short label -> value, shown under the title.
        settings: heading -> name -> value.
        caveats: added to the ones every demo report carries.
    """

    models: Sequence[Model]
    scores: Sequence[Score]
    differences: Sequence[Difference] = ()
    chance: Mapping[str, float] = field(default_factory=dict)
    clips: Sequence[ClipFigure] = ()
    real_clips: Sequence[ClipFigure] = ()
    curves: Sequence[CurveGroup] = ()
    phases: Sequence[Phase] = ()
    steps: Sequence[tuple[str, str]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    caveats: Sequence[str] = ()


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
class RunSummary:
    """One run folder, told.

    Attributes:
        name: unique within the report.
        stage: "data", "sft", "grpo", "evaluate", or "unknown".
        facts: label -> value.
        settings: flat dotted field -> value of its config.
        missing: what the folder lacks, in words.
        rejects: (reason, how many samples, one of them).
    """

    name: str
    stage: str
    facts: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    missing: Sequence[str] = ()
    rejects: Sequence[tuple[str, int, str]] = ()


@dataclass(frozen=True)
class Mistake:
    """A clip with questions that were answered wrongly; `clip` is None where its frames were not given."""

    title: str
    questions: Sequence[AnsweredQuestion]
    clip: ClipFigure | None = None


@dataclass(frozen=True)
class RunsReport:
    """Everything the report over run folders says.

    Attributes:
        runs: in the order given; the first evaluation is what later ones are compared with.
        sentences: the findings in words, the most important first.
        tables: accuracies.
        differences: (caption, paired differences).
        curves: one group a stage.
        mistakes: wrong answers.
        notes: what a reader must know to trust the numbers.
    """

    runs: Sequence[RunSummary]
    sentences: Sequence[str] = ()
    tables: Sequence[ScoreTable] = ()
    differences: Sequence[tuple[str, Sequence[Difference]]] = ()
    curves: Sequence[CurveGroup] = ()
    mistakes: Sequence[Mistake] = ()
    notes: Sequence[str] = ()
