"""What a model's text may not be: another language, markup, an address, or words to somebody."""

import re
import unicodedata

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "a an the is are was were be been being of in on at to from with and or not it its this that there then when while before after into his her their "
        "he she they by as for which what how does do has have up down out over off who no",
    )
)
_OTHERS = frozenset(
    re.findall(
        r"\w+",
        "der die das und ist ein eine einen mit nicht auf den dem im von zu sich wird el la los las y es un una con en de del al que por se su le les et est "
        "une des du dans avec pas qui il elle sur au aux o os e um uma com não em da lo gli di che è per nel sul van het een met op niet",
    )
)
_LEAST_WORDS, _LEAST_LATIN, _LEAST_ENGLISH = 6, 0.9, 0.08
_MARKUP = re.compile(r"<[^<>]{0,200}>|<\||\|>|```|\{\{|\[/?(?:INST|CLS|SEP)\]|&[a-z]+;|\]\(")
_ADDRESS = re.compile(r"\b(?:https?|ftp|file|data|javascript):|\bwww\.|\b[\w.]+@[\w-]+\.\w")
_SPEAKS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:above|previous|prior|instructions?|prompts?|rules?)\b"
    r"|\b(?:system|developer) (?:prompt|message)\b|\bas an ai\b|\blanguage model\b|\bI(?:'m| am) sorry\b|\bI (?:can't|cannot|can not|am unable)\b",
    re.IGNORECASE,
)


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
        UnusableError: it is no text, empty, too long, not in English, holds markup, an address or control characters, or speaks to a model.
    """
    if not isinstance(text, str) or not text.strip():
        raise UnusableError("not of the schema", f"got {shown(text)}, expected words")
    text = text.strip()
    if len(text) > most_chars:
        raise UnusableError("too long", f"it has {len(text):,} characters, expected at most {most_chars:,}")
    if has_control_characters(text.replace("\n", " ")):
        raise UnusableError("control characters", f"{shown(text)} holds control characters")
    if has_markup(text):
        raise UnusableError("markup or an address", f"{shown(text)} holds markup, code or an address, expected plain words")
    if speaks_to_a_model(text):
        raise UnusableError("no description", f"{shown(text)} describes nothing but speaks to somebody")
    if not is_english(text):
        raise UnusableError("not in English", f"{shown(text)} is not in English")
    return text


def shown(value: object) -> str:
    """A value in a message, at most so long."""
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def is_english(text: str) -> bool:
    """Whether a text can be English: Latin letters, and in sentences more of English's small words than of other languages'."""
    letters = [char for char in text if char.isalpha()]
    latin = sum(char.isascii() or "LATIN" in unicodedata.name(char, "") for char in letters)
    if letters and latin < _LEAST_LATIN * len(letters):
        return False
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) < _LEAST_WORDS:
        return True
    english, other = sum(word in _ENGLISH for word in words), sum(word in _OTHERS for word in words)
    return english >= _LEAST_ENGLISH * len(words) and english > other


def has_markup(text: str) -> bool:
    """Tags, special tokens, code fences, templates, links."""
    return bool(_MARKUP.search(text) or _ADDRESS.search(text))


def speaks_to_a_model(text: str) -> bool:
    """Instructions, or a model's words about itself, where a description was asked for."""
    return bool(_SPEAKS.search(text))


def has_control_characters(text: str) -> bool:
    """Anything that is not to be seen: control, direction and unpaired surrogate characters."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co") for char in text)
