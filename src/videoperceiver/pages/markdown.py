"""The same report as Markdown, for pull requests and notebooks."""

import re
from collections.abc import Sequence

from videoperceiver.pages import words
from videoperceiver.pages.records import Difference, Estimate, ScoreTable
from videoperceiver.pages.reports import RunsReport


def runs_markdown(report: RunsReport, *, title: str) -> str:
    """Title, findings, tables, differences, rejects and notes; figures and wrong answers are in the page alone."""
    parts = [f"# {plain(title)}", *(plain(text) for text in report.sentences), _runs(report)]
    parts += [_table(table) for table in report.tables]
    parts += [_differences(caption, items) for caption, items in report.differences]
    rejects = [(run.name, count, words.shorten(reason, 200)) for run in report.runs for reason, count, _ in run.rejects]
    if rejects:
        parts.append("## Rejected samples\n\n" + grid(("run", "samples", "reason"), rejects))
    if report.notes:
        parts.append("## How to read this\n\n" + "\n".join(f"- {plain(text)}" for text in report.notes))
    return "\n\n".join(parts) + "\n"


def plain(text: object) -> str:
    """Text that Markdown shows as it is: no markup, no line breaks, no table borders."""
    return re.sub(r"([\\`*_\[\]<>|#~!&])", r"\\\1", " ".join(words.clean(text).split()))


def grid(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [[plain(head) for head in heads], ["---"] * len(heads), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _runs(report: RunsReport) -> str:
    rows = [(run.name, run.stage, ", ".join(run.missing) or "nothing") for run in report.runs]
    return "## Runs\n\n" + grid(("run", "stage", "not in its folder"), rows)


def _table(table: ScoreTable) -> str:
    found = {(score.model, score.slice, score.condition): score.estimate for score in table.scores}
    heads = [table.corner, *(f"{column.group}: {column.heading}" if column.group else column.heading for column in table.columns)]
    rows = [[row.name, *(_cell(found.get((row.name, column.slice, column.condition))) for column in table.columns)] for row in table.rows]
    return f"## {plain(table.title)}\n\n" + (f"{plain(table.note)}\n\n" if table.note else "") + grid(heads, rows)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or not words.known(estimate.value):
        return "not measured"
    span = words.interval(estimate)
    return f"{100 * estimate.value:.1f}" + (f" ({span})" if span else "") + (f", n {estimate.num}" if estimate.num is not None else "")


def _differences(caption: str, items: Sequence[Difference]) -> str:
    rows = [
        (item.label, words.points(item.estimate.value), words.interval(item.estimate, sign=True), words.p_value(item.p_value), words.verdict(item.estimate))
        for item in items
    ]
    return f"## {plain(caption)}\n\n" + grid(("comparison", "points", "95 % interval", "p (Holm)", "what it says"), rows)
