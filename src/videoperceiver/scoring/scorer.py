"""Relevance of each frame to the keywords (paper 3.1, eq. 1), behind one protocol.

A scorer works in two steps. `describe` turns frames into a small record each, frame by frame, so that it can be fed a batch at a time while the
decoder runs ahead. `relate` turns the records of a clip into scores. V' shows frames of V, so its records are those of V in another order: it is scored
anew from them (`Scored.degraded`), without being decoded or described again. Its scores are not V's in another order: a scorer that looks at change finds
none in a frame that is held.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.types import BLANK, BLANK_LEVEL

_ASSUMED_FPS = 8.0


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
