"""A base reward of one's own: prefer answers about time that name a time inside the clip's first minute.

Use it from a recipe, beside the built-in rules:

    reward:
      base:
        format: 1.0
        examples/custom_reward.py:names_a_time: 0.5

A rule takes the completion and its question and returns a number in [0, 1]; NaN abstains, as here for questions about
something else. What a rule raises is recorded against that completion, which is then left out of the loss, never scored as 0.
"""

import math

from videoperceiver import answers
from videoperceiver.types import Question


def names_a_time(completion: str, question: Question) -> float:
    """1 for exactly one readable time of at most sixty seconds, 0 otherwise; abstains unless the question asks for a time."""
    if question.kind != "time":
        return math.nan
    seconds = answers.extract(completion, "time")
    return float(seconds is not None and float(seconds) <= 60)


if __name__ == "__main__":
    when = Question("q", "When does the light flash?", "3.2 s", "time", "when")
    for text in ("At 3.2 s.", "Some time between 2 s and 4 s.", "It does not."):
        print(f"{names_a_time(text, when):.0f}  {text}")
