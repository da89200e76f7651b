"""A few clips of the data set as figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.present import figure_of
from videoperceiver.errors import VideoReadError
from videoperceiver.pages import AnsweredQuestion, ClipFigure, words
from videoperceiver.pages.filmstrip import THUMBNAIL_PX, choose_columns
from videoperceiver.types import BLANK, Sample
from videoperceiver.video.read import read_clip

SHOWN = 3
COLUMNS = 16
QUESTIONS = 4
KEYWORDS = 8


def example_figures(manifest: Manifest, candidates: Mapping[str, Sequence[Sample]]) -> tuple[list[ClipFigure], list[str]]:
    """At most `SHOWN` clips, from as many sources as there are, and what kept others from being shown.

    Args:
        manifest: whose clips they are.
        candidates: source -> samples with V', the best first.

    Raises:
        ManifestError: a path leaves the manifest's folder.
    """
    figures, unread = [], []
    for rank in range(max(map(len, candidates.values()), default=0)):
        for samples in candidates.values():
            if rank >= len(samples) or len(figures) >= SHOWN:
                continue
            try:
                figures.append(_figure(manifest, samples[rank]))
            except VideoReadError as error:
                unread.append(f"{samples[rank].id} is not shown: {error.reason}")
    return figures, unread


def _figure(manifest: Manifest, sample: Sample) -> ClipFigure:
    """A sample and those of its frames that a filmstrip shows; no other is read."""
    made = sample.degradation
    source_idx = made.source_idx if made else ()
    chosen = choose_columns(sample.t_s, source_idx, sample.keyframes_idx, COLUMNS)
    needed = sorted({*chosen, *(source_idx[i] for i in chosen if source_idx)} - {BLANK})
    times = np.asarray(sample.t_s)[needed]
    clip = read_clip(manifest.resolve(sample), t_s=times, size_px=THUMBNAIL_PX, frame_fps=sample.frame_fps)
    about = " · ".join(text for text in (sample.source, sample.split, words.shorten(sample.caption, 240)) if text)
    asked = [AnsweredQuestion(question.text, question.answer, ()) for question in sample.questions[:QUESTIONS]]
    return figure_of(replace(sample, keywords=sample.keywords[:KEYWORDS]), clip, frames_idx=needed, title=sample.id, note=about, answers=asked)
