"""What is drawn: clips and curves, as plain frozen records of arrays and numbers, free of files and models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.pages.records import AnsweredQuestion
from videoperceiver.types import Span

Rows = Sequence[Mapping[str, object]]
"""Rows of metrics.jsonl: `{"step": int, "time_s": float, "sft/loss": float, ..}`; a key may be missing from some rows."""


@dataclass(frozen=True, eq=False)
class ClipFigure:
    """One clip as a figure: relevance over time, and the filmstrip of V over V′.

    Attributes:
        title: what the clip is.
        frames: (N, H, W, 3) uint8 thumbnails of the frames `frames_idx` of the clip.
        t_s: (T,) source seconds of every frame of the clip.
        frames_idx: (N,) which frames of the clip the thumbnails show; None where N = T.
        scores: (T,) keyword relevance, or empty.
        degraded_scores: (T,) relevance of V′, or empty.
        keyframes_idx: indices into the clip.
        runs: contiguous frame ranges around the key frames.
        spans: annotated events.
        source_idx: (T,) frame i of V′ shows frame source_idx[i] of V; empty where there is no V′.
        operator: name of the degradation.
        removed: outcome of the residual check, None if not measured.
        keywords: what relevance was measured against.
        relevance: name of the relevance backend.
        note: a line under the title.
        answers: questions with the answers of several models.
    """

    title: str
    frames: np.ndarray
    t_s: Sequence[float]
    frames_idx: Sequence[int] | None = None
    scores: Sequence[float] = ()
    degraded_scores: Sequence[float] = ()
    keyframes_idx: Sequence[int] = ()
    runs: Sequence[range] = ()
    spans: Sequence[Span] = ()
    source_idx: Sequence[int] = ()
    operator: str = ""
    removed: bool | None = None
    keywords: Sequence[str] = ()
    relevance: str = ""
    note: str = ""
    answers: Sequence[AnsweredQuestion] = ()

    @property
    def replaced_idx(self) -> tuple[int, ...]:
        """Frames of V′ that show another frame of V."""
        return tuple(i for i, j in enumerate(self.source_idx) if i != j)


@dataclass(frozen=True)
class CurvePanel:
    """One small multiple: a scalar of metrics.jsonl over the steps.

    Attributes:
        key: its name there ("sft/loss").
        title: what it is, in words.
        percent: write it as a percentage.
        noisy: draw a moving mean over long series; False for schedules, which have no noise.
    """

    key: str
    title: str
    percent: bool = False
    noisy: bool = True


@dataclass(frozen=True)
class CurveGroup:
    """The training curves of one stage.

    Attributes:
        title: the stage.
        series: name -> rows; the first is drawn in the accent colour, up to four.
        panels: what is drawn, one panel each.
        note: what to see in them.
    """

    title: str
    series: Mapping[str, Rows]
    panels: Sequence[CurvePanel]
    note: str = ""
