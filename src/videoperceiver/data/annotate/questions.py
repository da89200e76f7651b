"""From what is asked to a question as models see it: options with letters, the answer's format, and the check that our own parser reads the reference."""

from dataclasses import dataclass

import numpy as np

from videoperceiver import answers
from videoperceiver.data.annotate.prompts import templates
from videoperceiver.errors import SampleError
from videoperceiver.types import Question, QuestionKind

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Draft:
    """Something that can be asked.

    Attributes:
        family: one of `stages.QUESTION_FAMILIES`.
        text: the question, without options and answer format.
        answer: what is right.
        kind: of the answer when it is asked without options.
        classes: the answer class when asked without options; empty where it is open.
        wrong: what the same clip gives as wrong options, best first; none of them right.
        foreign: wrong options out of other clips, taken when `wrong` does not suffice.
        choice: None: may be asked either way; True: only with options; False: only without.
    """

    family: str
    text: str
    answer: str
    kind: QuestionKind
    classes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    choice: bool | None = None


def compose(draft: Draft, name: str, *, with_options: bool, num_options: int, rng: np.random.Generator) -> tuple[Question, str] | None:
    """The question and where its wrong options are from ("clip", "data set", or both; "" without options).

    Args:
        draft: what is asked.
        name: the question's id.
        with_options: ask with options, where there is a wrong one.
        num_options: at most.
        rng: draws the options' order.

    Returns:
        None where it cannot be asked so that our parser reads the reference answer as right.
    """
    wrong, origin = _wrong_options(draft, num_options - 1)
    if (draft.choice or with_options) and draft.choice is not False and wrong:
        question = _with_options(draft, name, wrong, rng)
    elif draft.choice:
        return None
    else:
        question, origin = Question(name, f"{draft.text} {_format_of(draft)}", draft.answer, draft.kind, draft.family, draft.classes), ""
    return (question, origin) if is_readable(question) else None


def is_readable(question: Question) -> bool:
    """Whether our parser finds the reference answer right; an open answer needs words."""
    if question.kind == "open":
        return bool(question.answer.strip())
    try:
        return answers.compare(question.answer, question.answer, question.kind, question.options) == 1.0
    except SampleError:
        return False


def _format_of(draft: Draft) -> str:
    """How to answer without options; the answer class is listed where the question does not name it."""
    formats = templates()["formats"]
    if draft.classes and all(option in draft.text for option in draft.classes):
        return formats["pair"]
    return formats[draft.kind].format(options=", ".join(draft.classes))


def _wrong_options(draft: Draft, count: int) -> tuple[tuple[str, ...], str]:
    """Up to `count` wrong options, no two alike, those of the clip first; and where they are from."""
    taken, origins = {draft.answer.casefold()}, {}
    chosen: list[str] = []
    for origin, options in (("clip", draft.wrong), ("data set", draft.foreign)):
        for option in options:
            if len(chosen) < count and option.casefold() not in taken:
                taken.add(option.casefold())
                chosen.append(option)
                origins[origin] = None
    return tuple(chosen), " and ".join(origins)


def _with_options(draft: Draft, name: str, wrong: tuple[str, ...], rng: np.random.Generator) -> Question:
    texts = [draft.answer, *wrong]
    order = rng.permutation(len(texts))
    options = tuple(f"{letter}. {texts[i]}" for letter, i in zip(LETTERS, order, strict=False))
    answer = LETTERS[int(np.flatnonzero(order == 0)[0])]
    text = "\n".join((draft.text, *options, templates()["formats"]["choice"]))
    return Question(name, text, answer, "choice", draft.family, options)
