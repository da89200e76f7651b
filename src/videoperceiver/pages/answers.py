"""Questions with what each model said, right and wrong told apart by sign and word, not by colour alone."""

from collections.abc import Sequence

from markupsafe import Markup

from videoperceiver.pages.html import render
from videoperceiver.pages.records import AnsweredQuestion
from videoperceiver.pages.words import shorten

SHOWN_CHARS = 400


def answers(questions: Sequence[AnsweredQuestion]) -> Markup:
    """A small table a question; empty for no questions.

    Args:
        questions: completions may be of any length; what is cut is told.
    """
    if not questions:
        return Markup("")
    rows = [
        (
            shorten(item.question, SHOWN_CHARS),
            shorten(item.reference, SHOWN_CHARS),
            [(answer.model, answer.condition, shorten(answer.text, SHOWN_CHARS), mark(answer.correct), answer.correct) for answer in item.answers],
        )
        for item in questions
    ]
    return render("answers", questions=rows)


def mark(correct: bool | None) -> tuple[str, str]:
    """Sign and word of a right, wrong or unscored answer."""
    return ("?", "not scored") if correct is None else ("✓", "right") if correct else ("✗", "wrong")
