"""Frozen records that cross folders.

Letters in shapes: B videos in a batch, G completions a group, L tokens, T frames, V vocabulary, D model width,
H W pixels, N items of a flat list. Units in names: `*_s` seconds of the source file, `*_px` pixels, `*_idx` indices.
All times stay on one axis, the source file's own presentation times; prompts convert them once, by `Clip.t_s`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

QuestionKind = Literal["choice", "number", "yes_no", "time", "order", "word", "open"]

Media = Literal["video", "image", "none"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

BLANK = -1
"""Source index of a frame that shows nothing (operator `blank`)."""
BLANK_LEVEL = 127
"""Grey level of such a frame."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames and when they were shown.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        t_s: (T,) float64, seconds of the source file, increasing.
        source: path or name, for messages.
        assumed: what had to be assumed about the times, in words; empty where the file says when its pictures are shown.
    """

    frames: np.ndarray
    t_s: np.ndarray
    source: str
    assumed: str = ""

    def __len__(self) -> int:
        return len(self.t_s)


@dataclass(frozen=True)
class Span:
    """A stretch of time in which something happens, in source seconds, ends included."""

    start_s: float
    end_s: float
    label: str = ""


@dataclass(frozen=True)
class Question:
    """One question about a clip and its reference answer.

    Attributes:
        id: unique within the sample.
        text: the question as asked, options and answer format included; times in source seconds.
        answer: the reference, as the model should say it.
        kind: how `answers.compare` reads it ("open" is scored by entailment).
        family: what is asked about, for tables ("flash_colour", "count", ...).
        options: the answer class of a closed question, the reference among them; empty when open.
        static: answerable without the event (scenery, dense attributes), so that V' must leave the answer as it is.
    """

    id: str
    text: str
    answer: str
    kind: QuestionKind
    family: str
    options: tuple[str, ...] = ()
    static: bool = False


@dataclass(frozen=True)
class Degradation:
    """How V' is made from V, without pixels (paper 3.1).

    Attributes:
        operator: name in `video.degrade.OPERATORS`.
        source_idx: (T,) frame i of V' shows frame source_idx[i] of V; BLANK shows mid-grey.
        seed: of the random operators; 0 otherwise.
        residual: the largest keyword relevance of V', scored anew, among its replaced frames; None if not measured.
        change: max |s(V) - s(V')| over frames, None if not measured.
        removed: whether the residual check holds, None if not measured.
    """

    operator: str
    source_idx: tuple[int, ...]
    seed: int = 0
    residual: float | None = None
    change: float | None = None
    removed: bool | None = None

    @property
    def replaced_idx(self) -> tuple[int, ...]:
        """Frames of V' that differ in source from V."""
        return tuple(i for i, j in enumerate(self.source_idx) if i != j)


@dataclass(frozen=True)
class Sample:
    """One manifest row: a clip by reference, what is asked about it, and how V' is made.

    Attributes:
        id: unique within the manifest.
        video: media path relative to the manifest's folder; a file with an image's suffix is one picture, "" is a row of text alone.
        sha256: of the media file's bytes (of the sorted frame files' bytes for an image folder).
        split: "train", "validation" or "test".
        source: the dataset it came from.
        t_s: presentation times of exactly the frames that V consists of, source seconds.
        caption: what happens, in words; may be empty.
        questions: may be empty for a clip that only has a caption.
        keywords: event/action phrases from caption, questions and answers.
        spans: annotated events.
        scores: (T,) keyword relevance of each frame, empty if not measured.
        keyframes_idx: frames that carry the event.
        degradation: None where nothing was replaced; such a sample has no V'.
        event_share: (before, after sparsification) share of frames inside events, None without events.
        seed: the seed its random choices derive from.
        tags: free labels for slicing results (e.g. cue="agree"), never shown to a model.
        frame_fps: images a second where `video` is a folder of images; None for a video file.
    """

    id: str
    video: str
    sha256: str
    split: str
    source: str
    t_s: tuple[float, ...]
    caption: str = ""
    questions: tuple[Question, ...] = ()
    keywords: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    scores: tuple[float, ...] = ()
    keyframes_idx: tuple[int, ...] = ()
    degradation: Degradation | None = None
    event_share: tuple[float, float] | None = None
    seed: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    frame_fps: float | None = None

    @property
    def media(self) -> Media:
        """What it shows: a video (or folder of frames), one picture, or nothing."""
        return media_of(self.video)


def media_of(path: str) -> Media:
    """What a media path leads to, by its suffix."""
    if not path:
        return "none"
    return "image" if path.lower().endswith(IMAGE_SUFFIXES) else "video"
