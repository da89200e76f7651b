"""What a rule looks at: a caption, a question or a span, with what is known of its clip."""

import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal

from videoperceiver.answers.choice import option_texts
from videoperceiver.answers.text import words
from videoperceiver.stages import ValidateConfig
from videoperceiver.types import Question, Span

Part = Literal["caption", "question", "span", "sample"]

_LISTED = re.compile(r"\n\s*(?:options?\s*:|choices?\s*:|[(\[]?A[)\].:])|\s(?:options\s*:|[(\[]A[)\]]\s|A[.)]\s)", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True)
class Dropped:
    """What was left out, with its text and the reason; `record` holds it whole, so that nothing is lost.

    Attributes:
        sample_id: the clip's.
        part: a caption, a question, a span, or the whole sample.
        part_id: the question's id, or "0", "1", .. of the span; empty for a caption and a sample.
        rule: its name in `RULES`, or "duplicate", "benchmark".
        reason: in words.
        text: the caption, the question as asked, the span's label; for a sample its media path.
        record: the question or span as a row; empty for captions, of which `text` is everything, and for samples.
    """

    sample_id: str
    part: Part
    part_id: str
    rule: str
    reason: str
    text: str
    record: Mapping[str, Any] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """As a JSON object; `Dropped(**row)` is equal to the record it was made from."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Subject:
    """One caption, question or span under the rules; made by `of_caption`, `of_question` and `of_span`, which take it apart once for all rules.

    Attributes:
        text: everything written in it, a line a piece: the caption; question, answer and options; the span's label.
        duration_s: end of the clip in source seconds; infinite where it is not known.
        config: limits.
        said: the text without options that are not the answer: what the writer claims.
        stem: the question up to its listed options; the whole text of anything else.
        worded: the stem as wordings are compared; empty but for questions.
        answer: the answer in words, of a choice the wording of its option; empty but for questions.
        tokens: the words of `said`, case-folded, in order.
        vocabulary: the same without order.
        key: what two questions of one wording share, the options of a choice included; empty but for questions.
        question: where it is one.
        span: where it is one.
        spans: the clip's annotated events.
        asked: keys of what was asked of the clip before.
    """

    text: str
    duration_s: float
    config: ValidateConfig
    said: str
    stem: str
    tokens: tuple[str, ...]
    vocabulary: Set[str]
    worded: str = ""
    answer: str = ""
    key: str = ""
    question: Question | None = None
    span: Span | None = None
    spans: tuple[Span, ...] = ()
    asked: Set[str] = frozenset()


def of_caption(text: str, duration_s: float, config: ValidateConfig) -> Subject:
    """A caption to be looked at."""
    found = tokens(text)
    return Subject(text, duration_s, config, text, text, found, frozenset(found))


def of_question(question: Question, duration_s: float, config: ValidateConfig, spans: tuple[Span, ...] = (), asked: Set[str] = frozenset()) -> Subject:
    """A question to be looked at, with its answer and options."""
    stem, answer, options, key = question.text, question.answer, question.options, ""
    if question.kind == "choice":
        texts = option_texts(options)
        answer = texts.get(answer.strip(" .()[]").upper()) or answer
        listed = _LISTED.search(stem)
        stem = stem[: listed.start()] if listed and listed.start() else stem
        key = "\n".join(sorted(texts.values()))
    worded = words(stem)
    said = f"{stem}\n{answer}"
    found = tokens(said)
    text = "\n".join((question.text, question.answer, *options))
    return Subject(text, duration_s, config, said, stem, found, frozenset(found), worded, answer, f"{worded}\n{key}", question, None, spans, asked)


def of_span(span: Span, duration_s: float, config: ValidateConfig) -> Subject:
    """An annotated event to be looked at."""
    return Subject(span.label, duration_s, config, span.label, span.label, (), frozenset(), span=span)


@lru_cache(maxsize=16_384)
def tokens(text: str) -> tuple[str, ...]:
    """Its words, case-folded."""
    return tuple(_TOKEN.findall(text.casefold()))
