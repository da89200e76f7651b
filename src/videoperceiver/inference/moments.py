"""Moments of a video that fit an event: peaks of the coarse look, made sharper by dense frames around each."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import find_peaks, peak_widths

from videoperceiver.inference.survey import Survey
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.video.read import Reader

DENSE_FPS = 8.0
MARGIN_S = 1.0
"""Read beside a coarse moment, on both sides: the coarse rate may have missed its edges by as much."""
_CLOSE_S = 8.0
"""Most that is read around a peak: edges farther away are known well enough from the coarse look."""
_LONGEST_S = 20.0
"""Of a moment: what stays relevant for longer is a scene, and its peak is what is shown."""
_WIDTH_AT = 0.5
"""A moment reaches down to this share of its peak's prominence."""


@dataclass(frozen=True)
class Candidate:
    """A peak of the coarse look; times in source seconds, score relative to the video's best."""

    start_s: float
    end_s: float
    peak_s: float
    score: float


@dataclass(frozen=True, eq=False)
class Moment:
    """Where in a video an event may be.

    Attributes:
        start_s, end_s: source seconds.
        peak_s: its most relevant frame.
        score: what moments are ranked by, 0..1: the model's probability where a model looked, else the relevance.
        relevance: of the coarse look, relative to the best of the video.
        probability: that the model says yes, None without a model.
        thumbnail: (h, w, 3) uint8, the frame of the peak.
        num_frames: frames looked at closely.
    """

    start_s: float
    end_s: float
    peak_s: float
    score: float
    relevance: float
    probability: float | None
    thumbnail: np.ndarray
    num_frames: int

    def known_by(self, coarse: Candidate) -> "Moment":
        """The same moment once more of the video is known: relevance is relative to the best seen, and far edges are those of the coarse look."""
        start_s, end_s = close_span(coarse)
        whole = start_s <= coarse.start_s and end_s >= coarse.end_s
        edges = {} if whole else {"start_s": coarse.start_s, "end_s": coarse.end_s}
        return replace(self, score=coarse.score, relevance=coarse.score, **edges)

    def verified(self, probability: float) -> "Moment":
        """The same moment after a model looked at it."""
        return replace(self, score=probability, probability=probability)


def candidates(found: Survey, limit: int) -> list[Candidate]:
    """The `limit` highest peaks of relevance, highest first, none inside another; empty where nothing stands out."""
    scores, t_s = found.scores.astype(np.float64), found.t_s
    if len(scores) < 2 or np.ptp(scores) == 0:
        return []
    padded = np.concatenate([[scores.min()], scores, [scores.min()]])  # an event cut by the file's end still peaks
    peaks, _ = find_peaks(padded, prominence=np.finfo(float).tiny)
    _, _, left, right = peak_widths(padded, peaks, rel_height=_WIDTH_AT)
    made = []
    for i in np.argsort(-padded[peaks], kind="stable"):
        at_s = float(t_s[peaks[i] - 1])
        start_s, end_s = (float(np.interp(edge - 1, np.arange(len(t_s)), t_s)) for edge in (left[i], right[i]))
        if end_s - start_s > _LONGEST_S:
            start_s, end_s = max(start_s, at_s - _LONGEST_S / 2), min(end_s, at_s + _LONGEST_S / 2)
        if all(end_s < other.start_s or start_s > other.end_s for other in made):
            made.append(Candidate(start_s, end_s, at_s, float((padded[peaks[i]] - scores.min()) / np.ptp(scores))))
        if len(made) == limit:
            break
    return made


def close_span(coarse: Candidate) -> tuple[float, float]:
    """What is read closely of a candidate: all of it with a margin, or `_CLOSE_S` around its peak; in steps of the coarse look."""
    start_s = max(0.0, coarse.start_s - MARGIN_S, coarse.peak_s - _CLOSE_S / 2)
    end_s = min(coarse.end_s + MARGIN_S, coarse.peak_s + _CLOSE_S / 2)
    return np.floor(2 * start_s) / 2, np.ceil(2 * end_s) / 2


def look_closely(video: Reader, coarse: Candidate, keywords: tuple[str, ...], scorer: RelevanceScorer) -> Moment:
    """Dense frames around a candidate: sharper edges, the peak's own frame."""
    clip = video.clip(fps=DENSE_FPS, span=close_span(coarse), size_px=scorer.size_px)
    dense = Survey(clip.t_s, scorer(clip.frames, keywords, clip.t_s), True)
    inside = [c for c in candidates(dense, len(clip)) if coarse.start_s - MARGIN_S / 2 <= c.peak_s <= coarse.end_s + MARGIN_S / 2]
    best = max(inside, key=lambda c: c.score, default=coarse)
    thumbnail = clip.frames[int(np.abs(clip.t_s - best.peak_s).argmin())].copy()
    return Moment(best.start_s, best.end_s, best.peak_s, coarse.score, coarse.score, None, thumbnail, len(clip))
