"""Samples of a manifest as figures for the pages."""

from collections.abc import Callable, Sequence
from pathlib import Path

from videoperceiver.data import manifest
from videoperceiver.pages import AnsweredQuestion, ClipFigure
from videoperceiver.types import Clip, Sample
from videoperceiver.video.read import read_clip

THUMBNAIL_PX = 176


def figure_of(sample: Sample, clip: Clip, *, title: str = "", note: str = "", relevance: str = "", answers: Sequence[AnsweredQuestion] = ()) -> ClipFigure:
    """A sample and its frames as one figure.

    Args:
        sample: times, scores, key frames, spans and V′ are taken from it.
        clip: exactly the sample's frames, at any size.
        title: the sample's id if empty.
        note: a line under the title.
        relevance: name of the backend that measured the scores.
        answers: shown below.
    """
    made = sample.degradation
    return ClipFigure(
        title=title or f"Sample {sample.id}",
        frames=clip.frames,
        t_s=sample.t_s,
        scores=sample.scores,
        keyframes_idx=sample.keyframes_idx,
        spans=sample.spans,
        source_idx=made.source_idx if made else (),
        operator=made.operator if made else "",
        removed=made.removed if made else None,
        keywords=sample.keywords,
        relevance=relevance,
        note=note,
        answers=answers,
    )


def manifest_figures(path: str | Path) -> Callable[[str], ClipFigure | None]:
    """A lookup of sample ids in a manifest for `report.build_report`; None for ids it does not hold.

    Raises:
        ManifestError: the manifest cannot be read. The lookup raises VideoReadError for unreadable media.
    """
    samples = {sample.id: sample for sample in manifest.read(path)}

    def look_up(sample_id: str) -> ClipFigure | None:
        sample = samples.get(sample_id)
        if sample is None:
            return None
        return figure_of(sample, read_clip(manifest.resolve(path, sample), t_s=sample.t_s, size_px=THUMBNAIL_PX, frame_fps=sample.frame_fps))

    return look_up
