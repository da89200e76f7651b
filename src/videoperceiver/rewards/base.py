"""The base reward r_b of paper 3.3: surface rules on length, format and fluency, and rules of one's own.

A rule is a function (completion, question) -> float in [0, 1]; NaN abstains. What a rule raises becomes a RewardError: the
training loop records it, leaves that completion out of the loss and counts it; it is never read as 0.
"""

import math
import re
from collections.abc import Callable, Mapping

from videoperceiver.errors import ConfigError, RewardError
from videoperceiver.plugins import choose
from videoperceiver.types import Question

Rule = Callable[[str, Question], float]

SIGNATURE = "(completion: str, question: Question) -> float"

MAX_WORDS_CLOSED = 8
MIN_WORDS_OPEN, MAX_WORDS_OPEN = 5, 120

_REASONED = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*<answer>(?:(?!</?answer>).)+</answer>\s*", re.DOTALL)
_MARKUP = re.compile(r"<\|[^|<>]{1,40}\|>|</?(?:think|answer)>|[\x00-\x08\x0b-\x1f\x7f\ufffd]")


def length(completion: str, question: Question) -> float:
    """1 inside the wanted number of words (closed 1-8, open 5-120), falling linearly to 0 at none and at twice the most."""
    least, most = (MIN_WORDS_OPEN, MAX_WORDS_OPEN) if question.kind == "open" else (1, MAX_WORDS_CLOSED)
    count = len(completion.split())
    if count < least:
        return count / least
    return min(1.0, max(0.0, 2.0 - count / most))


def plain_format(completion: str, question: Question) -> float:
    """1 for a non-empty answer without special tokens, reasoning tags or control characters, else 0."""
    return float(bool(completion.strip()) and _MARKUP.search(completion) is None)


def reasoned_format(completion: str, question: Question) -> float:
    """1 for exactly `<think>..</think><answer>..</answer>`, else 0 (the format of Video-R1)."""
    return float(_REASONED.fullmatch(completion) is not None)


def fluency(completion: str, question: Question) -> float:
    """Share of distinct word trigrams (and of distinct words in shorter texts): 1 where nothing repeats, near 0 for a loop; empty is 0."""
    words = re.findall(r"\w+", completion.casefold())
    if not words:
        return 0.0
    size = 3 if len(words) >= 6 else 1
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return len(set(grams)) / len(grams)


RULES: dict[str, Rule] = {"length": length, "format": plain_format, "reasoned_format": reasoned_format, "fluency": fluency}

DEFAULT_WEIGHTS = {"length": 1.0, "format": 1.0, "fluency": 1.0}
"""Of the paper's three rules."""


def load_rule(name: str) -> Rule:
    """A built-in rule, or one of the user's.

    Args:
        name: a key of `RULES`, "package.module:function" or "folder/file.py:function".

    Raises:
        ConfigError: no such rule, module, file or function.
    """
    return choose(name, RULES, role="base reward", signature=SIGNATURE, num_arguments=2)


def _ask(name: str, rule: Rule, completion: str, question: Question) -> float:
    try:
        value = float(rule(completion, question))
    except Exception as error:
        raise RewardError(f"base reward {name!r} raised {type(error).__name__}: {error}, for the completion {completion[:200]!r} of {question.id!r}") from error
    if not (math.isnan(value) or 0 <= value <= 1):
        raise RewardError(f"base reward {name!r} returned {value}, expected 0 to 1 or NaN, for the completion {completion[:200]!r} of {question.id!r}")
    return value


class BaseReward:
    """The weighted mean of rules.

    Args:
        weights: rule name (see `load_rule`) -> weight above 0; at least one.

    Raises:
        ConfigError: no rule, an unknown rule, or a weight that is not above 0.
    """

    def __init__(self, weights: Mapping[str, float]):
        if not weights:
            raise ConfigError(f"the base reward has no rules, expected at least one of {', '.join(RULES)}")
        for name, weight in weights.items():
            if not weight > 0:
                raise ConfigError(f"base reward {name!r} has weight {weight}, expected above 0; leave the rule out to switch it off")
        self._rules = [(name, load_rule(name), weight) for name, weight in weights.items()]

    def parts(self, completion: str, question: Question) -> dict[str, float]:
        """Each rule's value by name.

        Raises:
            RewardError: a rule raised, or returned something else than a number in [0, 1] or NaN.
        """
        return {name: _ask(name, rule, completion, question) for name, rule, _ in self._rules}

    def __call__(self, completion: str, question: Question) -> float:
        """The weighted mean of the rules that do not abstain; NaN if all do."""
        parts = self.parts(completion, question)
        scored = [(parts[name], weight) for name, _, weight in self._rules if not math.isnan(parts[name])]
        total = sum(weight for _, weight in scored)
        return sum(value * weight for value, weight in scored) / total if scored else math.nan
