"""Rules about time: that what is asked about can be placed, and that every time said lies inside the clip. Each returns why not, or ""."""

import math
import re

from videoperceiver.answers import TIME_TOLERANCE_S, extract
from videoperceiver.data.validate.subject import Subject, tokens

_SAID = re.compile(
    r"(\d+(?:\.\d+)?)(?::([0-5]\d(?:\.\d+)?))?(?::([0-5]\d(?:\.\d+)?))?"  # 1:02:03
    r"(?:(?:\s*(?:-|–|to|and)\s*(\d+(?:\.\d+)?))?\s*(s|secs?|seconds?|ms|milliseconds?|mins?|minutes?)\b(?!\s+(?:left|remaining|per)\b))?",  # 3 to 5 s
    re.IGNORECASE,
)
_CLOCK_SHOWN = re.compile(r"\b(?:clock|watch|score|scoreboard|timer|display|sign|phone|screen)\b", re.IGNORECASE)
_SCALE = {"m": 60.0, "s": 1.0}
_QUOTED = re.compile(r'["“]([^"”\n]{1,200})["”]')
_JOINED = frozenset(":.-_")
_TEMPORAL = re.compile(
    r"\b(?:when|at (?:what|which) (?:time|timestamp|second|moment|point)|how (?:many times|often|long)|in (?:what|which) order|before|after|first|last)\b",
    re.IGNORECASE,
)
_VAGUE_WORDS = """
a an the of in on at to is are was were be been do does did has have had it its this that these those there they he she him her them his their one
ones what which who when where how why many much times time often long order and or if with by for from as so than then not no yes video clip film
footage scene frame frames moment moments point second seconds timestamp timestamps minute event events action actions activity thing things something
anything somewhere happen happens happening happened occur occurs occurring occurred take takes taking took place start starts started begin begins
began end ends ended before after first last next during while exactly please answer give state tell me you can could will would interval span shown
seen visible key main important brief transient s i we us also same other another
"""
_VAGUE = frozenset(_VAGUE_WORDS.split())
"""Words that name no event."""
_INDEFINITE = re.compile(
    r"\b(?:at some (?:point|time|moment|stage)|some ?time|sooner or later|eventually|at a certain (?:point|time|moment)|throughout|at various times)\b",
    re.IGNORECASE,
)
_NOT_CONTENT = _VAGUE | frozenset({"person", "man", "woman", "people", "someone", "somebody"})


def time_outside_clip(subject: Subject) -> str:
    """A time that the text, the answer or an option gives lies outside the clip by more than `time_slack_s`."""
    limit_s = subject.duration_s + subject.config.time_slack_s
    if not math.isfinite(limit_s) or not any(map(str.isdigit, subject.text)):
        return ""
    for found in _SAID.finditer(subject.text):
        seconds = _seconds(found)
        if seconds > limit_s and not (found[2] and _CLOCK_SHOWN.search(subject.text)):  # else a time that is seen, on a clock
            return f"{found[0].strip()!r} in a clip of {subject.duration_s:g} s"
    question = subject.question
    if question is not None and question.kind == "time":
        answer = extract(question.answer, "time")
        if answer is not None and not -subject.config.time_slack_s <= float(answer) <= limit_s:
            return f"answered {question.answer!r} in a clip of {subject.duration_s:g} s"
    return ""


def vague_time(subject: Subject) -> str:
    """Asks when, how often or in which order without naming what ('when does it happen?'), or answers 'at some point'."""
    question = subject.question
    assert question is not None
    if question.kind in ("time", "order", "number") and (found := _INDEFINITE.search(question.answer)):
        return f"the answer says {found[0]!r}, which is no time"
    if subject.config.language != "en" or question.kind == "open" or not (question.kind == "time" or _TEMPORAL.search(subject.stem)):
        return ""
    named = subject.stem if question.kind != "order" and not question.options else f"{subject.stem} {' '.join(question.options)} {question.answer}"
    is_named = any(token not in _VAGUE and not token.isdigit() for token in tokens(named)) or any(token not in _VAGUE for token in _quoted(named))
    return "" if is_named else "does not name the event that it asks about"


def contradicts_span(subject: Subject) -> str:
    """A time that lies outside every annotated event whose label the question repeats."""
    question = subject.question
    assert question is not None
    if question.kind != "time" or not subject.spans:
        return ""
    answer, asked = extract(question.answer, "time"), frozenset(tokens(subject.stem))
    meant = [span for span in subject.spans if (label := frozenset(tokens(span.label)) - _NOT_CONTENT) and label <= asked]
    if answer is None or not meant:
        return ""
    near = max(TIME_TOLERANCE_S, subject.config.time_slack_s) + 1e-9
    if any(span.start_s - near <= float(answer) <= span.end_s + near for span in meant):
        return ""
    return f"answered {question.answer!r}, but {meant[0].label!r} is annotated at " + ", ".join(f"{span.start_s:g}-{span.end_s:g} s" for span in meant)


def span_order(subject: Subject) -> str:
    """An event that ends before it starts, or whose times are no numbers."""
    span = subject.span
    assert span is not None
    if not (math.isfinite(span.start_s) and math.isfinite(span.end_s)):
        return f"from {span.start_s} to {span.end_s} s"
    return f"ends at {span.end_s:g} s, before it starts at {span.start_s:g} s" if span.end_s < span.start_s else ""


def span_outside_clip(subject: Subject) -> str:
    """An event that starts before the clip or ends after it, by more than `time_slack_s`."""
    span, slack = subject.span, subject.config.time_slack_s
    assert span is not None
    inside = -slack <= span.start_s and span.end_s <= subject.duration_s + slack
    return "" if inside else f"from {span.start_s:g} to {span.end_s:g} s in a clip of {subject.duration_s:g} s"


def _quoted(text: str) -> list[str]:
    """The words of what stands in quotation marks, numbers included: "5 shown" names an event, "after 5 s" does not."""
    return [token for piece in _QUOTED.findall(text) for token in tokens(piece)]


def _seconds(found: re.Match[str]) -> float:
    """The later of the times that a match gives; 0 for a number that is no time, or part of another word."""
    before = found.string[found.start() - 1 : found.start()]
    if not (found[2] or found[5]) or before in _JOINED or before.isalnum():
        return 0.0
    if found[2]:
        hours, minutes, seconds = (found[1], found[2], found[3]) if found[3] else ("0", found[1], found[2])
        return 3600 * float(hours) + 60 * float(minutes) + float(seconds)
    unit = found[5].casefold()
    scale = 0.001 if unit.startswith(("ms", "milli")) else _SCALE[unit[0]]
    return max(float(found[1]), float(found[4] or 0)) * scale
