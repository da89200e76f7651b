"""Relevance of each frame to the keywords (paper 3.1, eq. 1), behind one protocol.

A scorer works in two steps. `describe` turns frames into a small record each, frame by frame, so that it can be fed a batch at a time while the
decoder runs ahead. `relate` turns the records of a clip into scores. V' shows frames of V, so its records are those of V in another order: it is scored
anew from them (`Scored.degraded`), without being decoded or described again. Its scores are not V's in another order: a scorer that looks at change finds
none in a frame that is held.

Backends: "motion" (frame difference; ignores the text), "proxy" (the embedded default, see `scoring/proxy.py`), and the vision-language models
"clip", "siglip2", "blip2" (the paper's) by model id or local path (`scoring/vision_language.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from videoperceiver.errors import ConfigError
from videoperceiver.types import BLANK, BLANK_LEVEL

BACKENDS = ("motion", "proxy", "clip", "siglip2", "blip2")
GREY_SIZE = (36, 48)
_ASSUMED_FPS = 8.0
SMOOTHING_S = 0.625
"""Running mean over the curves of change: five frames at 8 fps. Shorter finds more peaks outside events, longer merges neighbouring events."""


class RelevanceScorer(ABC):
    """Frames and keywords to one score a frame.

    Attributes:
        name: backend and weights; whatever changes the scores changes the name, since caches are keyed by it.
        size_px: longer side at which frames should be read.
        needs_keywords: whether scores without any keyword mean nothing.
    """

    name: str
    size_px: int = 256
    needs_keywords: bool = False

    @abstractmethod
    def describe(self, frames: np.ndarray) -> np.ndarray:
        """One record a frame, independent of the other frames.

        Args:
            frames: (n, H, W, 3) uint8.

        Returns:
            (n, ...) array; any dtype, structured ones included, but no objects.
        """

    @abstractmethod
    def relate(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str], *, like: np.ndarray | None = None) -> np.ndarray:
        """Scores of a clip.

        Args:
            description: (T, ...) records of its frames, in order.
            t_s: (T,) times, seconds.
            keywords: event phrases.
            like: (T, ...) records of the clip in whose units to score, where scores are shares of a clip's own ranges; None is this clip.

        Returns:
            (T,) float32, higher = more relevant.
        """

    def score(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str]) -> "Scored":
        """A clip's scores together with what it takes to score its V'; arguments as in `relate`."""
        return Scored(self, description, np.asarray(t_s), tuple(keywords), self.relate(description, t_s, keywords))

    def __call__(self, frames: np.ndarray, keywords: Sequence[str], t_s: np.ndarray | None = None) -> np.ndarray:
        """(T,) float32 scores of a clip in memory, (T, H, W, 3) uint8; without times, 8 frames a second are assumed."""
        times_s = np.arange(len(frames)) / _ASSUMED_FPS if t_s is None else np.asarray(t_s)
        return self.relate(self.describe(frames), times_s, keywords)


@dataclass(frozen=True, eq=False)
class Scored:
    """A clip that was scored.

    Attributes:
        scorer: by whom.
        records: (T, ...) of its frames.
        t_s: (T,) times, seconds.
        keywords: event phrases.
        scores: (T,) float32 relevance.
    """

    scorer: RelevanceScorer
    records: np.ndarray
    t_s: np.ndarray
    keywords: tuple[str, ...]
    scores: np.ndarray

    def degraded(self, source_idx: Sequence[int]) -> np.ndarray:
        """(T,) relevance of V', whose frame i shows frame source_idx[i] of V, in the units of V's scores."""
        index = np.asarray(source_idx)
        records = self.records[np.maximum(index, 0)]
        if (index == BLANK).any():
            side = self.scorer.size_px
            records[index == BLANK] = self.scorer.describe(np.full((1, side, side, 3), BLANK_LEVEL, np.uint8))[0]
        return self.scorer.relate(records, self.t_s, self.keywords, like=self.records)


def load_relevance(name: str = "proxy", **options: Any) -> RelevanceScorer:
    """A relevance backend by name.

    Args:
        name: one of `BACKENDS`; "clip", "siglip2" and "blip2" may name their checkpoint after a colon, as in "clip:/models/clip-vit-b32".
        options: `model` and `device` of the vision-language backends.

    Raises:
        ConfigError: an unknown name.
        MissingExtraError: the backend's packages are not installed.
        ModelError: the checkpoint cannot be used.
    """
    backend, _, model = name.partition(":")
    if backend not in BACKENDS or (model and backend in ("motion", "proxy")):
        raise ConfigError(f"relevance backend {name!r} is unknown; choose one of {', '.join(BACKENDS)} (the last three as NAME or NAME:MODEL)")
    if backend == "motion":
        return MotionRelevance(**options)
    if backend == "proxy":
        from videoperceiver.scoring.proxy import ProxyRelevance

        return ProxyRelevance(**options)
    from videoperceiver.scoring.vision_language import VisionLanguageRelevance

    return VisionLanguageRelevance(backend, **({"model": model} if model else {}), **options)


class MotionRelevance(RelevanceScorer):
    """Mean absolute difference of small grey frames, smoothed: how much moves, whatever the text says. Needs no extra."""

    name = "motion/grey-48x36"

    def describe(self, frames: np.ndarray) -> np.ndarray:
        """(n, 36, 48) uint8 grey pictures."""
        return shrink_grey(frames)

    def relate(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str], *, like: np.ndarray | None = None) -> np.ndarray:
        """(T,) share of the grey scale by which the picture changes from frame to frame."""
        return motion(description, t_s).astype(np.float32)


def shrink_grey(frames: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 -> (n, 36, 48) uint8, antialiased, aspect ignored."""
    from PIL import Image

    height, width = GREY_SIZE
    small = [np.asarray(Image.fromarray(frame).convert("L").resize((width, height), Image.Resampling.BILINEAR)) for frame in frames]
    return np.stack(small) if small else np.empty((0, height, width), np.uint8)


def motion(grey: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """(T,) smoothed mean absolute difference of consecutive grey frames (T, h, w), as a share of the grey scale; 0 before the first."""
    change = np.zeros(len(grey))
    for i in range(1, len(grey)):  # one pair at a time: the whole clip as floats need not fit
        change[i] = np.abs(grey[i].astype(np.int16) - grey[i - 1]).mean() / 255
    return smooth(change, t_s, SMOOTHING_S)


def smooth(curve: np.ndarray, t_s: np.ndarray, width_s: float) -> np.ndarray:
    """(T,) running mean over the odd number of frames nearest to `width_s` seconds; the ends repeat."""
    width = max(1, 2 * round((frames_in(width_s, t_s) - 1) / 2) + 1)
    padded = np.pad(np.asarray(curve, np.float64), width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), "valid")


def frames_in(duration_s: float, t_s: np.ndarray) -> float:
    """How many of the clip's typical frame intervals fit into a duration."""
    return duration_s / float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
