"""A model's answer, read with suspicion: what is usable becomes a caption and drafts of questions, the rest is named and left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from videoperceiver import answers
from videoperceiver.answers import TIME_TOLERANCE_S
from videoperceiver.data.annotate.events import seconds
from videoperceiver.data.annotate.questions import Draft
from videoperceiver.data.annotate.times import check_seen, times_in
from videoperceiver.data.annotate.wording import UnusableError, check_text, shown
from videoperceiver.types import QuestionKind

MOST_CAPTION, MOST_QUESTION, MOST_ANSWER = 1_500, 300, 160
"""Characters."""
_KINDS: Mapping[str, QuestionKind] = {"when": "time", "count": "number", "happens": "yes_no"}
_FIELDS = {"family", "question", "answer", "wrong_options"}
_OF_THESE = re.compile(r"\b(?:of these|of the following|which option)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What a model is asked to write.

    Attributes:
        caption: whether a caption.
        num_questions: at most.
        families: that may be asked.
        shown_s: times of the frames it sees.
    """

    caption: bool
    num_questions: int
    families: tuple[str, ...]
    shown_s: tuple[float, ...]


@dataclass(frozen=True)
class Read:
    """What of an answer can be used.

    Attributes:
        caption: "" where none was wanted.
        drafts: of questions.
        dropped: why each question that cannot be used cannot.
    """

    caption: str
    drafts: tuple[Draft, ...]
    dropped: tuple[UnusableError, ...]


def schema_of(wanted: Wanted) -> dict[str, Any]:
    """JSON schema of the answer."""
    words = {"type": "string"}
    fields = {"family": {"type": "string", "enum": list(wanted.families)}, "question": words, "answer": words, "wrong_options": _listed(words)}
    parts = {"caption": words} if wanted.caption else {}
    return _record(parts | ({"questions": _listed(_record(fields))} if wanted.num_questions else {}))


def read_answer(answer: Any, wanted: Wanted) -> Read:
    """What is usable of a decoded answer.

    Raises:
        UnusableError: it is not of the schema, its caption cannot be used, or no question of several can.
    """
    parts = set(schema_of(wanted)["properties"])
    if not isinstance(answer, dict) or set(answer) != parts:
        raise UnusableError("not of the schema", f"got {shown(answer)}, expected an object of {' and '.join(sorted(parts))} alone")
    caption = _timed_text(answer["caption"], MOST_CAPTION, wanted) if wanted.caption else ""
    found = answer.get("questions", [])
    if not isinstance(found, list):
        raise UnusableError("not of the schema", f"questions is {shown(found)}, expected a list")
    drafts: dict[str, Draft] = {}
    dropped: list[UnusableError] = []
    for question in found[: 4 * wanted.num_questions]:
        try:
            draft = _draft(question, wanted)
            if drafts.setdefault(draft.text.casefold(), draft) is not draft:
                raise UnusableError("repeated", f"{shown(draft.text)} is asked twice")
        except UnusableError as error:
            dropped.append(error)
    if dropped and not drafts:
        raise UnusableError(dropped[0].kind, f"none of its {len(dropped)} questions can be used; the first: {dropped[0]}")
    return Read(caption, tuple(drafts.values())[: wanted.num_questions], tuple(dropped))


def _draft(question: Any, wanted: Wanted) -> Draft:
    """One question. Raises UnusableError."""
    if not isinstance(question, dict) or set(question) != _FIELDS or not isinstance(question["wrong_options"], list):
        raise UnusableError("not of the schema", f"got {shown(question)}, expected an object of {', '.join(sorted(_FIELDS))}")
    family = question["family"]
    if family not in wanted.families:
        raise UnusableError("not of the schema", f"its family is {shown(family)}, expected one of {', '.join(wanted.families)}")
    text, answer = _timed_text(question["question"], MOST_QUESTION, wanted), _timed_text(question["answer"], MOST_ANSWER, wanted)
    wrong = [check_text(option, MOST_ANSWER) for option in question["wrong_options"][:8]]
    if not text.endswith("?") or "\n" in text:
        raise UnusableError("no question", f"{shown(text)} is no question of one line")
    if family == "when":
        return _when(text, answer, wrong, wanted)
    if family == "which" and not wrong:
        raise UnusableError("no wrong options", f"{shown(text)} asks which of several, and no others are named")
    kind: QuestionKind = "yes_no" if not wrong and answers.extract(answer, "yes_no") else _KINDS.get(family, "open")
    if kind == "open":
        needs_options = family == "which" or bool(_OF_THESE.search(text))
        return Draft(family, text, answer, kind, wrong=tuple(wrong), choice=None if wrong and not needs_options else needs_options)
    said = answers.extract(answer, kind)
    if said is None or (kind == "yes_no" and len(answer.split()) > 2):
        raise UnusableError("an answer that cannot be read", f"the answer {shown(answer)} cannot be read as {kind}")
    numbers = [number for option in wrong if (number := answers.extract(option, "number")) not in (None, said)] if kind == "number" else []
    return Draft(family, text, said, kind, wrong=tuple(dict.fromkeys(numbers)), choice=None if numbers else False)


def _when(text: str, answer: str, wrong: Sequence[str], wanted: Wanted) -> Draft:
    """A question for a time: the answer a moment of a frame, wrong options clearly elsewhere in the clip."""
    said = answers.extract(answer, "time")
    if said is None:
        raise UnusableError("an answer that cannot be read", f"the answer {shown(answer)} is no time")
    check_seen(float(said), wanted.shown_s)
    kept = [float(said)]
    for option in wrong:
        other = answers.extract(option, "time")
        inside = other is not None and 0 <= float(other) <= wanted.shown_s[-1]
        if other is not None and inside and all(abs(float(other) - time) >= 2 * TIME_TOLERANCE_S for time in kept):
            kept.append(float(other))
    right, *others = (f"{seconds(time)} seconds" for time in kept)
    return Draft("when", text, right, "time", wrong=tuple(others), choice=None if others else False)


def _timed_text(text: object, most_chars: int, wanted: Wanted) -> str:
    """A usable text that names no time but those of the frames. Raises UnusableError."""
    checked = check_text(text, most_chars)
    for time in times_in(checked):
        check_seen(time, wanted.shown_s)
    return checked


def _listed(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _record(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}
