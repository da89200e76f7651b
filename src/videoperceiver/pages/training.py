"""The page of one training run: how it went, curve by curve, where the time went, what was said on V and on V', what was left out, and what ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.answers import mark
from videoperceiver.pages.count_table import CountTable, count_table
from videoperceiver.pages.curves import curves
from videoperceiver.pages.figures import CurveGroup
from videoperceiver.pages.html import page, render
from videoperceiver.pages.reports import Phase
from videoperceiver.pages.timing import timing

MAX_COMPLETIONS = 8
"""Shown of a group."""


@dataclass(frozen=True)
class Told:
    """One completion: its text, its quality (None = cannot be scored), and how often it was asked for again."""

    text: str
    quality: float | None
    tries: int = 0


@dataclass(frozen=True)
class SampledGroup:
    """Completions of one question on V and on V' at one step."""

    step: int
    sample: str
    question: str
    reference: str
    full: Sequence[Told]
    degraded: Sequence[Told] = ()


@dataclass(frozen=True)
class TrainingReport:
    """Everything the page of a training run says.

    Attributes:
        name: of the run.
        eyebrow: what kind of run it is.
        title: the outcome as a sentence.
        sentences: what else is worth a sentence.
        facts: label -> value.
        changes: (scalar, value over the first tenth of the steps, over the last tenth, in percent).
        curves: groups of panels.
        phases: where the time went.
        samples: completions, the earliest first.
        rejects: (reason, how many samples, one of them).
        settings: heading -> name -> value: recipe, versions, data.
        warnings: what the run itself warned of.
        notes: what a reader must know.
    """

    name: str
    eyebrow: str
    title: str
    sentences: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[tuple[str, float, float, bool]] = ()
    curves: Sequence[CurveGroup] = ()
    phases: Sequence[Phase] = ()
    samples: Sequence[SampledGroup] = ()
    rejects: Sequence[tuple[str, int, str]] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


def training_page(report: TrainingReport) -> str:
    """The whole page."""
    body = render(
        "training",
        report=report,
        changes=[(name, _form(first, share), _form(last, share)) for name, first, last, share in report.changes],
        curves=[curves(group) for group in report.curves],
        timing=timing(report.phases) if report.phases else None,
        samples=[(group, _told(group.full), _told(group.degraded)) for group in report.samples],
        rejects=count_table(CountTable("Reasons", ("reason", "samples", "for instance"), report.rejects)) if report.rejects else None,
        settings={heading: dict(values) for heading, values in report.settings.items() if values},
    )
    return page(f"{report.name}: {report.title}", body, description=report.sentences[0] if report.sentences else report.title)


def _form(value: float, share: bool) -> str:
    return words.percent(value, 1) if share else words.number(float(f"{value:.4g}"))


def _told(completions: Sequence[Told]) -> tuple[Sequence[tuple[str, tuple[str, str], str, int]], Markup]:
    """(class, mark, text, tries) of those shown, and how many more there are."""
    shown = [(_kind(told.quality), mark(_correct(told.quality)), words.shorten(told.text, 600), told.tries) for told in completions[:MAX_COMPLETIONS]]
    more = len(completions) - len(shown)
    return shown, Markup(f"and {more} more") if more > 0 else Markup("")


def _correct(quality: float | None) -> bool | None:
    return None if quality is None else quality >= 0.5


def _kind(quality: float | None) -> str:
    return {True: "right", False: "wrong", None: "unscored"}[_correct(quality)]
