"""Samples that cannot be trained on, and why."""

from dataclasses import replace

import pytest

from videoperceiver.data.trainable import untrainable
from videoperceiver.types import Question, Sample

ASKED = Question("q1", "what colour ?", "red", "word", "colour")
SAMPLE = Sample("s1", "a.mp4", "", "train", "test", (0.0, 0.5), caption="a red flash", questions=(ASKED,))


@pytest.mark.parametrize(
    ("sample", "captions", "said"),
    [
        (SAMPLE, True, None),
        (replace(SAMPLE, questions=()), True, None),
        (replace(SAMPLE, questions=()), False, "no question and no caption"),
        (replace(SAMPLE, questions=(), caption=" "), True, "no question and no caption"),
        (replace(SAMPLE, questions=(ASKED, replace(ASKED, id="q2", answer=" "))), True, "question 'q2' has an empty answer"),
        (replace(SAMPLE, questions=(replace(ASKED, text=""),)), True, "question 'q1' has no text"),
    ],
)
def test_what_cannot_be_learned_from_is_named(sample, captions, said):
    found = untrainable(sample, captions=captions)
    assert (found is None) == (said is None)
    if found is not None:
        assert said in str(found)
        assert found.sample_id == "s1"
