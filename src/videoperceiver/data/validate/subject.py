"""What a rule looks at: a caption, a question or a span, with what is known of its clip."""

import re
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
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


@dataclass(frozen=True)
class Subject:
    """One caption, question or span under the rules.

    Attributes:
        text: everything written in it, a line a piece: the caption; question, answer and options; the span's label.
        duration_s: end of the clip in source seconds; infinite where it is not known.
        config: limits.
        question: where it is one.
        span: where it is one.
        spans: the clip's annotated events.
        asked: what was asked of the clip before, as `key`s.
    """

    text: str
    duration_s: float
    config: ValidateConfig
    question: Question | None = None
    span: Span | None = None
    spans: tuple[Span, ...] = ()
    asked: Set[str] = frozenset()

    @cached_property
    def said(self) -> str:
        """The text without options that are not the answer: what the writer claims."""
        question = self.question
        return self.text if question is None else f"{self.stem}\n{self.answer}"

    @cached_property
    def stem(self) -> str:
        """The question up to its listed options; the whole text of anything else."""
        if self.question is None:
            return self.text
        text = self.question.text
        listed = _LISTED.search(text) if self.question.kind == "choice" else None
        return text[: listed.start()] if listed and listed.start() else text

    @cached_property
    def answer(self) -> str:
        """The answer in words: of a choice the wording of its option."""
        assert self.question is not None
        answer, options = self.question.answer, self.question.options
        if self.question.kind != "choice" or not options:
            return answer
        letter = answer.strip(" .()[]").upper()
        return option_texts(options).get(letter) or answer

    @cached_property
    def key(self) -> str:
        """What two questions of one wording share; a choice is told by its options as well."""
        assert self.question is not None
        listed = sorted(map(words, self.question.options)) if self.question.kind == "choice" else []
        return "\n".join((words(self.stem), *listed))


@lru_cache(maxsize=4_096)
def tokens(text: str) -> tuple[str, ...]:
    """Its words, case-folded."""
    return tuple(_TOKEN.findall(text.casefold()))
