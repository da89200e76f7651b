"""A person's verdicts on the samples of a manifest, written back into it: rejected samples stay, with their reason, and are not trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from videoperceiver.data import manifest
from videoperceiver.errors import SampleError
from videoperceiver.types import Sample

Verdict = Literal["accepted", "rejected"]
VERDICT, REASON = "review", "review_reason"
"""The tags that hold them."""


def of(sample: Sample) -> str:
    """The sample's verdict, empty where nobody reviewed it."""
    return sample.tags.get(VERDICT, "")


def write(path: Path, sample_id: str, verdict: Verdict, reason: str = "") -> None:
    """Sets one sample's verdict; the manifest is replaced whole, so a reader sees the old one or the new one.

    Raises:
        SampleError: a rejection without a reason, or no such sample.
    """
    if verdict == "rejected" and not reason.strip():
        raise SampleError("a rejection needs a reason; say what is wrong with the sample", sample_id=sample_id)
    samples = manifest.read(path)
    if sample_id not in {sample.id for sample in samples}:
        raise SampleError(f"no such sample in {path}", sample_id=sample_id)
    manifest.write((_judged(s, verdict, reason.strip()) if s.id == sample_id else s for s in samples), path)


def _judged(sample: Sample, verdict: Verdict, reason: str) -> Sample:
    tags = {key: value for key, value in sample.tags.items() if key != REASON} | {VERDICT: verdict}
    return replace(sample, tags=tags | ({REASON: reason} if reason else {}))
