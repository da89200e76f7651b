"""Samples that stage 1 cannot learn from are found before the first step, and named."""

from videoperceiver.errors import SampleError
from videoperceiver.types import Sample


def untrainable(sample: Sample, *, captions: bool) -> SampleError | None:
    """Why a sample cannot be trained on; None where it can.

    Args:
        sample: of a training manifest.
        captions: whether captions are trained on.
    """
    for question in sample.questions:
        if not question.answer.strip():
            return SampleError(f"question {question.id!r} has an empty answer; add the reference answer or remove the question", sample_id=sample.id)
        if not question.text.strip():
            return SampleError(f"question {question.id!r} has no text; expected what is asked: add it or remove the question", sample_id=sample.id)
    if not sample.questions and not (captions and sample.caption.strip() and sample.media != "none"):
        return SampleError("it has no question and no caption that is trained on; add one, or leave the sample out", sample_id=sample.id)
    return None
