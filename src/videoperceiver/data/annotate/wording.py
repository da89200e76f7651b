"""Whether a model's text may be a caption, question or answer at all: the validator's own rules for texts, applied while the model can still be asked again."""

import math

from videoperceiver.data.validate import text_rules
from videoperceiver.data.validate.subject import of_caption
from videoperceiver.stages import ValidateConfig

_RULES = (text_rules.control_characters, text_rules.injection, text_rules.refusal, text_rules.markup, text_rules.wrong_language, text_rules.bad_wording)


class UnusableError(ValueError):
    """A text, or what is built of it, cannot be used.

    Args:
        kind: of fault, in words that are the same for all of its kind.
        reason: what was got, what was expected.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def check_text(text: object, most_chars: int) -> str:
    """The text without blank space at its ends.

    Raises:
        UnusableError: it is no text, empty, too long, or one of the rules refuses it.
    """
    if not isinstance(text, str) or not text.strip():
        raise UnusableError("not of the schema", f"got {shown(text)}, expected words")
    text = text.strip()
    if len(text) > most_chars:
        raise UnusableError("too long", f"it has {len(text):,} characters, expected at most {most_chars:,}")
    subject = of_caption(text, math.inf, ValidateConfig())
    for rule in _RULES:
        if reason := rule(subject):
            raise UnusableError(rule.__name__, f"{shown(text)}: {reason}")
    return text


def shown(value: object) -> str:
    """A value in a message, at most so long."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
