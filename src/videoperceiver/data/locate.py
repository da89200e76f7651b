"""From the scores of a clip's frames to its key frames and V' (paper 3.1), and the check of what is left of the event in V'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from videoperceiver.types import Degradation, Span
from videoperceiver.video.degrade import degrade, with_residual
from videoperceiver.video.keyframes import PROMINENCE, REL_HEIGHT, contiguous, find_keyframes, from_spans, runs

Rescore = Callable[[Sequence[int]], np.ndarray]
"""(T,) source indices -> (T,) relevance of V' by the same scorer, in the same units: `scoring.scorer.Scored.degraded`."""


class Detection(TypedDict, total=False):
    """How key frames are found and V' is made; a missing name takes the default of `locate`.

    Attributes:
        operator: of V' (`video.degrade.load_operator`).
        seed: of the random operators.
        prominence: as in `video.keyframes.find_keyframes`.
        rel_height: as there; runs reach down to it.
        literal: eq. (2) as written.
        removed_threshold: V' counts as free of the event when no replaced frame exceeds this share of the range of V's scores.
    """

    operator: str
    seed: int
    prominence: float
    rel_height: float
    literal: bool
    removed_threshold: float


@dataclass(frozen=True, eq=False)
class Located:
    """Key frames of a scored clip and its V'.

    Attributes:
        keyframes_idx: (K,) key frames.
        runs: contiguous frames around them; what `hold` replaces.
        degradation: how V' is made, None where nothing would be replaced.
        degraded_scores: (T,) relevance of V'; empty without V', or where it was not measured.
    """

    keyframes_idx: np.ndarray
    runs: tuple[range, ...]
    degradation: Degradation | None
    degraded_scores: np.ndarray


def locate(
    scores: np.ndarray,
    t_s: np.ndarray,
    *,
    spans: Sequence[Span] = (),
    rescore: Rescore | None = None,
    operator: str = "hold",
    seed: int = 0,
    prominence: float = PROMINENCE,
    rel_height: float = REL_HEIGHT,
    literal: bool = False,
    removed_threshold: float = 0.5,
) -> Located:
    """Key frames, runs and V' of a clip whose frames are scored.

    Args:
        scores: (T,) relevance of V.
        t_s: (T,) its times, source seconds.
        spans: annotated events; they take the place of detection, and their frames are their own runs.
        rescore: scores V' for the residual check; None: what is left in V' is not measured.
        operator: of V'.
        seed: of the random operators.
        prominence: as in `find_keyframes`.
        rel_height: as there.
        literal: eq. (2) as written.
        removed_threshold: see `Detection`.
    """
    keyframes_idx = from_spans(t_s, spans) if spans else find_keyframes(scores, prominence=prominence, rel_height=rel_height, literal=literal)
    around = contiguous(keyframes_idx) if spans else runs(scores, keyframes_idx, rel_height=rel_height)
    degradation = degrade(len(scores), operator, runs=around, keyframes_idx=keyframes_idx, seed=seed)
    degraded_scores = np.empty(0, np.float32)
    if degradation is not None and rescore is not None:
        degraded_scores = rescore(degradation.source_idx)
        degradation = with_residual(degradation, scores, degraded_scores, float(scores.min() + removed_threshold * np.ptp(scores)))
    return Located(keyframes_idx, tuple(around), degradation, degraded_scores)
