"""The report over run folders: accuracies and how far they rest on the key frames, comparisons, curves, wrong answers, what is missing."""

from collections.abc import Sequence

from markupsafe import Markup

from videoperceiver.pages.accuracy import accuracy_table, difference_table
from videoperceiver.pages.answers import answers
from videoperceiver.pages.clip import clip_figure
from videoperceiver.pages.count_table import CountTable, count_table
from videoperceiver.pages.curves import curves
from videoperceiver.pages.html import page, render
from videoperceiver.pages.reports import Mistake, RunsReport


def runs_page(report: RunsReport, *, title: str) -> str:
    """The whole page."""
    body = render(
        "runs",
        title=title,
        report=report,
        tables=[accuracy_table(item.rows, item.scores, item.columns, caption=item.title, corner=item.corner, note=item.note) for item in report.tables],
        differences=[difference_table(items, caption=caption) for caption, items in report.differences],
        curves=[curves(group) for group in report.curves],
        mistakes=_mistakes(report.mistakes),
        rejects=_rejects(report),
        settings={run.name: run.settings for run in report.runs if run.settings},
    )
    return page(title, body, description=report.sentences[0] if report.sentences else title)


def _rejects(report: RunsReport) -> Markup | None:
    rows = [(run.name, count, reason, instance) for run in report.runs for reason, count, instance in run.rejects]
    return count_table(CountTable("Reasons", ("run", "samples", "reason", "for instance"), rows)) if rows else None


def _mistakes(mistakes: Sequence[Mistake]) -> list[tuple[str, Markup]]:
    return [("", clip_figure(item.clip, item.questions)) if item.clip is not None else (item.title, answers(item.questions)) for item in mistakes]
