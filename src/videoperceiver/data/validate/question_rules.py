"""Rules for questions: that they can be asked, read and answered in one way only. Each returns why a question is refused, or "".

Every answer is read by `answers`, as the rewards and metrics of this package will read it.
"""

import re
from functools import lru_cache

from videoperceiver.answers import TIME_TOLERANCE_S, compare, extract
from videoperceiver.answers.choice import option_texts
from videoperceiver.answers.text import contained, words
from videoperceiver.data.validate.subject import Subject, tokens
from videoperceiver.errors import SampleError
from videoperceiver.types import Question, QuestionKind

_ASKS = re.compile(
    r"\?|？|__|(?:^|[.!:,]\s)\W*(?:please\s+)?(?:what|which|who|whose|where|when|why|how|is|are|was|were|do|does|did|has|have|can|could|will|would|should|describe|name|list"
    r"|state|identify|choose|select|pick|order|arrange|sort|rank|count|give|tell|find|locate|explain|compare|complete|fill|determine|estimate|answer|watch"
    r"|summari[sz]e|write|say|put|match|predict|classify|recognize|detect|provide|point|mark|report|evaluate|assess|consider)\b",
    re.IGNORECASE | re.MULTILINE,
)
_UNSEEN = re.compile(
    r"\b(?:(?:can|could|do|does|is|are|be) (?:you |we |be )?(?:hear|heard|audible)|audible|soundtrack|voice-?over|narrator|background music|smells? like"
    r"|(?:according to|based on|mentioned in|described in|as per|stated in|says? in|from) (?:the |this )?(?:caption|annotation|metadata|transcript"
    r"|description|prompt|passage)s?"
    r"|the (?:caption|annotation|metadata|transcript|description|prompt) (?:say|state|mention|describe|indicate)s?|the provided (?:frames|images|timestamps)"
    r"|(?:not |never )(?:shown|visible|seen) in (?:the |this )?(?:video|clip|frames?)|off-?screen|outside (?:of )?the frame)\b",
    re.IGNORECASE,
)
_UNSEEN_HINTS = """
hear heard audible soundtrack voice voiceover narrator music smell smells caption captions annotation annotations metadata transcript transcripts
description descriptions prompt prompts passage passages provided shown visible seen offscreen off outside
"""
_UNSEEN_WORDS = frozenset(_UNSEEN_HINTS.split())
"""Without one of them the slower pattern cannot match."""
_ALL = re.compile(r"(?:all|both|any|each|every one) (?:of )?(?:the |these )?(?:above|these|options|choices|answers|a and b)|both a and b")
_HOW_MANY = re.compile(r"\bhow (?:many|often)\b|\bnumber of\b", re.IGNORECASE)
_ORDERING = re.compile(r"\b(?:then|before|after|followed by|first)\b|[>→]")
_FILLER_WORDS = "a an the of in on at to is are was were and or it its his her their this that with by for from"
_FILLER = frozenset(_FILLER_WORDS.split())
_OPEN_WORDS = 12


def no_question(subject: Subject) -> str:
    """Neither asks nor tells what to do."""
    assert subject.question is not None
    return "" if subject.config.language != "en" or _ASKS.search(subject.question.text) else "neither a question mark nor a word that asks"


def not_visible(subject: Subject) -> str:
    """About what nobody can see in the clip: sounds, the annotator's notes, what is out of the frame."""
    found = None if subject.vocabulary.isdisjoint(_UNSEEN_WORDS) else _UNSEEN.search(subject.said)
    return f"not to be seen in the clip: {found[0]!r}" if found else ""


def too_few_options(subject: Subject) -> str:
    """A choice between fewer than two options, or more than there are letters; options that stand in the text alone are not counted."""
    question = subject.question
    assert question is not None
    num_options = len(question.options)
    is_listed = num_options == 0 and subject.stem != question.text
    return f"{num_options} options; expected 2 to 26" if question.kind == "choice" and not is_listed and not 2 <= num_options <= 26 else ""


def duplicate_options(subject: Subject) -> str:
    """Two options of one wording."""
    question = subject.question
    assert question is not None
    wordings = _wordings(question.options, question.kind)
    twice = next((wording for i, wording in enumerate(wordings) if wording and wording in wordings[:i]), "")
    return f"the option {twice!r} stands there twice" if twice else ""


def options_not_shown(subject: Subject) -> str:
    """A choice whose text does not show its options: a letter could not be told."""
    question = subject.question
    assert question is not None
    if question.kind != "choice":
        return ""
    shown = words(question.text)
    missing = next((wording for wording in _wordings(question.options, "choice") if wording not in shown), "")
    return f"the text does not show the option {missing!r}" if missing else ""


def answer_not_in_options(subject: Subject) -> str:
    """A closed question whose answer is none of its options."""
    question = subject.question
    assert question is not None
    if not question.options or _right_options(question.answer, question.kind, question.options):
        return ""
    return f"the answer {question.answer!r} is none of {list(question.options)}"


def several_right_options(subject: Subject) -> str:
    """More than one option that the parser reads as the answer: '3' and 'three', times nearer than the tolerance, 'all of the above'."""
    question = subject.question
    assert question is not None
    right = _right_options(question.answer, question.kind, question.options) if question.options else ()
    return f"{len(right)} options are right: {[question.options[i] for i in right]}" if len(right) > 1 else ""


def unreadable_answer(subject: Subject) -> str:
    """An answer that this package's own parser cannot read as its kind, or a count that is no whole number."""
    question = subject.question
    assert question is not None
    if question.kind == "open":
        return ""
    if not question.options:  # else it was found among them
        try:
            if compare(question.answer, question.answer, question.kind) != 1.0:
                return f"the answer {question.answer!r} is not equal to itself when read as {question.kind!r}"
        except SampleError as error:
            return error.reason
    if question.kind == "number" and _HOW_MANY.search(subject.stem):
        count = float(extract(question.answer, "number") or "nan")
        if count < 0 or not count.is_integer():
            return f"a count of {question.answer!r}; expected a whole number"
    return ""


def answer_leaks(subject: Subject) -> str:
    """The question says its own answer, and none of the other options."""
    question = subject.question
    assert question is not None
    stem = subject.worded
    if question.kind == "time":
        return _time_leaks(stem, question)
    answer = words(subject.answer)
    if question.kind in ("yes_no", "number"):
        count = extract(question.answer, "number") if question.kind == "number" else None
        return f"the question says {count} times" if count and re.search(rf"\b{re.escape(count)} times\b", stem) else ""
    if question.kind == "order" and not _ORDERING.search(answer):
        return ""  # it has to name what is put in order
    if question.kind == "open":
        told = [token for token in tokens(answer) if token not in _FILLER]
        return "every word of the answer is in the question" if 0 < len(told) <= _OPEN_WORDS and set(told) <= set(tokens(stem)) else ""
    if len(answer) < 3 or answer not in stem or contained(stem, [answer]) != answer:
        return ""
    others = [wording for wording in _wordings(question.options, question.kind) if wording and wording != answer]
    return "" if contained(stem, others) else f"the question says its answer, {answer!r}"


def duplicate_question(subject: Subject) -> str:
    """Asked of this clip before."""
    return "asked of this clip before" if subject.key in subject.asked else ""


def _time_leaks(stem: str, question: Question) -> str:
    answer, said = extract(question.answer, "time"), extract(stem, "time") if re.search(r"\d", stem) else None
    return f"the question says {said} s" if answer and said and abs(float(answer) - float(said)) <= 0.05 and _has_unit(stem) else ""


def _has_unit(text: str) -> bool:
    return re.search(r"\d\s*(?:s|sec|seconds?|ms|min|minutes?)\b|\d:\d\d", text) is not None


@lru_cache(maxsize=65_536)
def _wordings(options: tuple[str, ...], kind: QuestionKind) -> tuple[str, ...]:
    """Options as they are compared; "" where one is a bare letter."""
    return tuple(option_texts(options).values()) if kind == "choice" else tuple(map(words, options))


@lru_cache(maxsize=65_536)
def _right_options(answer: str, kind: QuestionKind, options: tuple[str, ...]) -> tuple[int, ...]:
    """Indices of the options that are as right as the answer; empty where none is."""
    wordings = _wordings(options, kind)
    if kind == "choice":
        letter = extract(answer, "choice", options)
        if letter is None:
            return ()
        wanted = wordings[ord(letter) - ord("A")] or letter.casefold()
        all_are = next((i for i, wording in enumerate(wordings) if _ALL.fullmatch(wording)), None)
        if all_are is not None and wordings[all_are] == wanted:
            return tuple(range(len(options)))
        return tuple(i for i, wording in enumerate(wordings) if (wording or chr(ord("a") + i)) == wanted or _same_value(wording, wanted))
    wanted = extract(answer, kind, options)
    if kind in ("word", "order"):
        return tuple(i for i, option in enumerate(options) if option == wanted or wordings[i] == wanted)
    if kind == "open":
        return tuple(i for i, wording in enumerate(wordings) if wording == words(answer))
    found = [extract(option, kind) for option in options]
    near = TIME_TOLERANCE_S if kind == "time" else 0.0
    if kind == "yes_no" or wanted is None:
        return tuple(i for i, value in enumerate(found) if value is not None and value == wanted)
    return tuple(i for i, value in enumerate(found) if value is not None and abs(float(value) - float(wanted)) <= near + 1e-9)


def _same_value(wording: str, wanted: str) -> bool:
    """Whether two options are one number, or times that the tolerance cannot tell apart."""
    if not (wording[:1].isdigit() and wanted[:1].isdigit()) or wording == wanted:
        return False
    if _has_unit(wording) and _has_unit(wanted):
        ours, other = extract(wording, "time"), extract(wanted, "time")
        return ours is not None and other is not None and abs(float(ours) - float(other)) <= TIME_TOLERANCE_S + 1e-9
    return bool(re.fullmatch(r"[\d.]+", wording) and re.fullmatch(r"[\d.]+", wanted)) and extract(wording, "number") == extract(wanted, "number")
