"""What a whole page says: plain frozen records, free of files and models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from videoperceiver.pages.figures import ClipFigure, CurveGroup
from videoperceiver.pages.records import AnsweredQuestion, Difference, Model, Score, ScoreTable


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
