"""Q: the parser for closed questions, entailment for open ones, NaN for what cannot be scored."""

import math

import numpy as np
import pytest

from videoperceiver.rewards.quality import Quality
from videoperceiver.scoring.entailment import entailment_proxy
from videoperceiver.types import Question

CLOSED = Question("q1", "How many flashes?", "2", "number", "count")
OPEN = Question("q2", "What happens?", "A hand snaps twice.", "open", "caption")


def table(scores):
    """An entailment that knows its pairs, and a list of what it was asked."""
    asked = []

    def entail(premises, hypotheses):
        asked.append(list(zip(premises, hypotheses, strict=True)))
        return np.array([scores[pair] for pair in asked[-1]], np.float32)

    return entail, asked


def test_closed_and_open_in_one_call_and_open_ones_in_one_batch():
    entail, asked = table({("A hand snaps twice.", "a hand"): 0.75, ("A hand snaps twice.", "a dog"): 0.125})
    got = Quality(entail)(["two", "a hand", "three", "a dog"], [CLOSED, OPEN, CLOSED, OPEN])
    assert got.tolist() == [1.0, 0.75, 0.0, 0.125]
    assert len(asked) == 1


def test_both_directions_take_the_lesser():
    reference = "A hand snaps twice."
    entail, asked = table({(reference, "a hand"): 0.75, ("a hand", reference): 0.25, (reference, "a dog"): 0.125, ("a dog", reference): 0.5})
    got = Quality(entail, both_directions=True)(["a hand", "a dog"], [OPEN, OPEN])
    assert got.tolist() == [0.25, 0.125]
    assert len(asked) == 2


def test_what_cannot_be_scored_is_nan_and_is_not_asked():
    entail, asked = table({("A hand snaps twice.", "?"): math.nan})
    got = Quality(entail)(["", "<think>never ends", "?", "two or three"], [OPEN, OPEN, OPEN, CLOSED])
    assert got.isnan().all()
    assert asked == [[("A hand snaps twice.", "?")]]


def test_only_the_answer_of_a_reasoned_completion_is_compared():
    entail, asked = table({("A hand snaps twice.", "a hand"): 1.0})
    Quality(entail)(["<think>a dog?</think><answer>a hand</answer>"], [OPEN])
    assert asked == [[("A hand snaps twice.", "a hand")]]


def test_with_the_embedded_proxy():
    # of the answer's words "hand", "clap", "twice" the reference holds two
    assert Quality(entailment_proxy)(["a hand claps twice"], [OPEN]).item() == pytest.approx(2 / 3, abs=1e-3)
    # all of "hand" is in the reference; of the reference's "hand", "snap", "loudly" one is in the answer
    loud = Question("q3", "What happens?", "A hand snaps loudly.", "open", "caption")
    assert Quality(entailment_proxy)(["the hand"], [loud]).item() == 1.0
    assert Quality(entailment_proxy, both_directions=True)(["the hand"], [loud]).item() == pytest.approx(1 / 3, abs=1e-3)
