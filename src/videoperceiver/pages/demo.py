"""The demo's report: the headline first, then what happened, what was seen, how training went, where the time went."""

from itertools import pairwise

from videoperceiver.pages import words
from videoperceiver.pages.accuracy import accuracy_chart, accuracy_table, difference_table
from videoperceiver.pages.clip import clip_figure
from videoperceiver.pages.curves import curves
from videoperceiver.pages.html import page, render
from videoperceiver.pages.records import Column, Estimate, Model
from videoperceiver.pages.reports import DemoReport
from videoperceiver.pages.timing import timing

SLICES = (("agree", "Cue agrees with the answer"), ("conflict", "Cue points to a wrong answer"))
CONDITIONS = (("V", "On V, the video"), ("V′", "On V′, its key frames replaced"))
CAVEATS = (
    "This is a model of a few million parameters, trained for minutes on drawn clips. "
    "It shows what the method does; it says nothing about the accuracy of a full-size model or about the paper’s benchmarks.",
    "Intervals hold for new test clips and this one training run. Another seed trains another model, and learning jumps at a step that depends on the seed.",
    "The effect needs a shortcut: where no static cue gives answers away, earlier trials of this recipe saw no difference.",
    "Accuracy on V′ can fall merely because a model notices that the event is missing. The measure is accuracy on V where the cue is wrong.",
    "On real clips, relevance comes from embedded proxies (image tags, sentence vectors, motion), not from a vision-language model. "
    "Read their key frames as a rough guide.",
)


def demo_page(report: DemoReport) -> str:
    """The whole page; nothing is loaded from anywhere and nothing that was not measured is shown as a number."""
    halves = (("agree", "cue agrees"), ("conflict", "cue conflicts"))
    columns = [Column(key, condition, short, group) for condition, group in CONDITIONS for key, short in halves]
    paired = "Paired differences on the same questions, in points of accuracy."
    body = render(
        "demo",
        title=headline(report),
        ledes=ledes(report),
        report=report,
        chart=accuracy_chart(report.models, report.scores, SLICES, chance=report.chance),
        table=accuracy_table(report.models, report.scores, columns, caption="Accuracy in %, with 95 % intervals."),
        differences=difference_table(report.differences, caption=paired) if report.differences else "",
        curves=[curves(group) for group in report.curves],
        clips=[clip_figure(clip) for clip in report.clips],
        real_clips=[clip_figure(clip) for clip in report.real_clips],
        timing=timing(report.phases) if report.phases else "",
        caveats=[*CAVEATS, *report.caveats],
        settings=report.settings,
    )
    return page("VideoPerceiver demo", body, description=headline(report))


def headline(report: DemoReport) -> str:
    """The finding as one sentence: the first stage against the last control where the cue is wrong."""
    pair = _pair(report)
    if pair is None:
        return "The demo ran; its headline accuracies are missing"
    (ours, mine), (control, theirs) = pair
    return f"Where the shortcut misleads, {ours.name} answers {words.percent(mine.value)} right; {control.name}, {words.percent(theirs.value)}"


def ledes(report: DemoReport) -> list[str]:
    """What the headline rests on, and what each stage adds, whatever it is."""
    setting = (
        "Every training clip carries a static cue that usually gives the answer away, so a model can answer without seeing the brief event. "
        "The test shows the same clips twice: once with the cue right, once with it wrong. Only a model that sees the event gets both."
    )
    order = [model for model in report.models if not model.ours][-1:] + [model for model in report.models if model.ours]
    findings = [_finding(report, later, earlier) for earlier, later in pairwise(order)]
    return [setting, " ".join(finding for finding in [*findings, _start(report)] if finding)]


def _finding(report: DemoReport, model: Model, against: Model) -> str:
    """One stage against the one before it, where the cue is wrong."""
    mine, theirs = _estimate(report, model.name, "conflict"), _estimate(report, against.name, "conflict")
    if mine is None or theirs is None:
        return ""
    found = next((item.estimate for item in report.differences if (item.model, item.against, item.slice) == (model.name, against.name, "conflict")), None)
    gap = found or Estimate((mine.value or 0) - (theirs.value or 0))
    size = f"{words.points(abs(gap.value or 0)).lstrip('+')} points {'above' if (gap.value or 0) >= 0 else 'below'} {against.name}"
    span = words.interval(gap, sign=True)
    doubt = f"; {words.verdict(gap)}" if not span or words.verdict(gap) == words.NO_DIFFERENCE else ""
    return f"{model.name[:1].upper()}{model.name[1:]} is {size} where the cue is wrong{f' (95 % interval {span})' if span else ''}{doubt}."


def _start(report: DemoReport) -> str:
    """Where everything started from: the first row."""
    first = report.models[0]
    agree, conflict = _estimate(report, first.name, "agree"), _estimate(report, first.name, "conflict")
    if first.ours or agree is None or conflict is None:
        return ""
    return f"Before any fine-tuning, the {first.name} had {words.percent(agree.value)} with the cue right and {words.percent(conflict.value)} with it wrong."


def _pair(report: DemoReport) -> tuple[tuple[Model, Estimate], tuple[Model, Estimate]] | None:
    ours = next((model for model in report.models if model.ours), None)
    control = next((model for model in reversed(report.models) if not model.ours), None)
    if ours is None or control is None:
        return None
    mine, theirs = _estimate(report, ours.name, "conflict"), _estimate(report, control.name, "conflict")
    return ((ours, mine), (control, theirs)) if mine and theirs else None


def _estimate(report: DemoReport, model: str, key: str) -> Estimate | None:
    found = next((score.estimate for score in report.scores if (score.model, score.slice, score.condition) == (model, key, "V")), None)
    return found if found and words.known(found.value) else None
