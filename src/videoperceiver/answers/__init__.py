"""Read an answer out of a completion and compare it with a reference: one parser for rewards and for metrics.

`extract` never guesses: where a completion gives no answer, or two, it returns None and `compare` returns NaN. Rewards mask
that; metrics count it as unparsed and wrong. An answer is looked for in `<answer>..</answer>`, then in `\\boxed{..}`, then after
the last "the answer is", then at the start of the text and in its last line; text inside `<think>` is never read.
Linear in the length of the completion, of which at most `MAX_CHARS` are read (the first and the last half).
"""

import math
from functools import lru_cache

from videoperceiver.answers.choice import choice, option_texts
from videoperceiver.answers.phrase import order, word, yes_no
from videoperceiver.answers.quantity import number, time
from videoperceiver.answers.text import MAX_CHARS, clean
from videoperceiver.errors import SampleError
from videoperceiver.types import QuestionKind

__all__ = ["MAX_CHARS", "TIME_TOLERANCE_S", "compare", "extract"]

TIME_TOLERANCE_S = 0.5
"""Default for kind "time": half the longest transient event (paper 3.4)."""


def _open(text: str, options: tuple[str, ...]) -> str | None:
    return text


_READERS = {"choice": choice, "number": number, "time": time, "yes_no": yes_no, "word": word, "order": order, "open": _open}


def extract(completion: str | None, kind: QuestionKind, options: tuple[str, ...] = ()) -> str | None:
    """The answer a completion gives, in canonical form.

    Args:
        completion: what the model wrote, special tokens and reasoning included.
        kind: "choice" gives an upper-case letter; "number" a decimal number; "time" seconds; "yes_no" "yes" or "no"; "word" the option, or
            without options the normalised text; "order" events joined by " > ", or the option; "open" the text itself.
        options: the answer class. For "choice" in the order of the letters, with or without their labels ("B. red", "D.Drivers").

    Returns:
        The canonical answer; None where there is none, or more than one.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in _READERS:
        raise ValueError(f"question kind is {kind!r}, expected one of {', '.join(_READERS)}")
    return _read(completion, kind, tuple(options)) if completion else None


@lru_cache(maxsize=8)
def _read(completion: str, kind: QuestionKind, options: tuple[str, ...]) -> str | None:
    """Remembered for a moment, because a completion is read for its answer and again for its score."""
    text = clean(completion)
    return _READERS[kind](text, options) if text else None


def compare(completion: str | None, reference: str, kind: QuestionKind, options: tuple[str, ...] = (), tolerance: float | None = None) -> float:
    """1.0 for a right answer, 0.0 for a wrong one, NaN where none can be read, and for kind "open" (scored by entailment).

    Args:
        completion: what the model wrote.
        reference: the right answer, written as a model may write it.
        kind: how both are read, see `extract`.
        options: the answer class.
        tolerance: largest |difference| that is right, for "number" (default 0) and "time" (seconds, default `TIME_TOLERANCE_S`).

    Raises:
        SampleError: the reference itself cannot be read as an answer of this kind.
    """
    if kind == "open":
        return math.nan
    wanted = _reference(reference, kind, tuple(options))
    given = extract(completion, kind, options)
    if given is None:
        return math.nan
    if kind in ("number", "time"):
        allowed = tolerance if tolerance is not None else (TIME_TOLERANCE_S if kind == "time" else 0.0)
        return float(abs(float(given) - float(wanted)) <= allowed + 1e-9)
    if kind == "choice" and options:
        texts = option_texts(tuple(options))
        given, wanted = texts.get(given, given) or given, texts.get(wanted, wanted) or wanted  # two options of one wording are one answer
    return float(given == wanted)


@lru_cache(maxsize=65_536)
def _reference(reference: str, kind: QuestionKind, options: tuple[str, ...]) -> str:
    wanted = extract(reference, kind, options)
    if wanted is None:
        listed = f" with options {list(options)}" if options else ""
        raise SampleError(f"reference answer {reference!r} cannot be read as kind {kind!r}{listed}; correct the annotation or its kind")
    return wanted
