"""From a video and a text to its key frames and V' (paper 3.1), streamed: the core of `videoperceiver keyframes`.

A thread decodes while the scorer describes what was decoded before, a batch at a time; only one small record a frame is kept. An hour at
2 fps stays below 500 MB over the loaded models (`benchmarks/keyframes_memory.py`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from videoperceiver.data.described import THUMBNAIL_PX, describe_stream, unpacked
from videoperceiver.data.locate import Detection, Located, locate
from videoperceiver.data.pixels import ContentCache, content_hash, content_key
from videoperceiver.errors import SampleError
from videoperceiver.pages.filmstrip import choose_columns
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.types import BLANK, Span
from videoperceiver.video.read import read_clip
from videoperceiver.video.source import Source, name_of

_SHOWN_COLUMNS = (10, 16)
_RECORDS = "records/1"


@dataclass(frozen=True, eq=False, kw_only=True)
class KeyframeAnalysis(Located):
    """What was found in one video, beside its key frames and V' (`Located`).

    Attributes:
        source: the video, for titles and messages.
        t_s: (T,) times of the frames looked at, source seconds.
        scores: (T,) float32 relevance of each.
        keywords: what it was measured against; empty where the backend looks at pixels alone.
        from_spans: the key frames are those of the annotated events, not detected.
        thumbnails: (N, h, w, 3) uint8 pictures of the frames that explain V'.
        thumbnails_idx: (N,) which frames they show.
        spans: the annotated events given.
        relevance: the scorer's name.
        keywords_backend: the extractor's name; empty where the keywords were given.
        seconds: phase -> wall time; "decode" is what the scorer waited for.
    """

    source: str
    t_s: np.ndarray
    scores: np.ndarray
    keywords: tuple[str, ...]
    from_spans: bool
    thumbnails: np.ndarray
    thumbnails_idx: np.ndarray
    spans: tuple[Span, ...]
    relevance: str
    keywords_backend: str
    seconds: dict[str, float]


def analyse(
    source: Source,
    *,
    text: str = "",
    keywords: Sequence[str] = (),
    fps: float = 8.0,
    span: tuple[float, float] | None = None,
    relevance: str | RelevanceScorer = "proxy",
    keywords_backend: str | KeywordExtractor = "spacy",
    spans: Sequence[Span] = (),
    frame_fps: float | None = None,
    cache: ContentCache | None = None,
    on_frames: Callable[[float], None] | None = None,
    **detection: Unpack[Detection],
) -> KeyframeAnalysis:
    """Finds the key frames of a video of any length and says what V' would be.

    Args:
        source: a video file, a folder of images, or a file's bytes.
        text: caption, or question and answer, whose event phrases become the keywords.
        keywords: event phrases, in place of `text`.
        fps: frames a second to look at.
        span: (start, end) seconds to look at; None is all.
        relevance: a backend's name (`scoring.relevance.BACKENDS`) or a scorer that is loaded already.
        keywords_backend: "spacy", "endpoint", "transformers", or an extractor; not loaded where `keywords` are given.
        spans: annotated events, source seconds; where given they take the place of detection.
        frame_fps: images a second, for a folder.
        cache: keeps what was described by (video bytes, sampling, backend).
        on_frames: called with the time, in seconds of the source, up to which frames have been described.
        **detection: operator, seed, thresholds; see `data.locate.Detection`.

    Raises:
        SampleError: the video cannot be read or has no frame in `span`, or the backend needs keywords and the text names no event.
        ConfigError, MissingExtraError: an unknown backend or operator; packages that are not installed.
    """
    clock = _Clock()
    scorer = load_relevance(relevance) if isinstance(relevance, str) else relevance
    phrases, extractor_name = _keywords(text, keywords, keywords_backend, scorer, name_of(source))
    clock.lap("load")
    described, pictures = _described(source, scorer, cache, clock.lap, on_frames, fps=fps, span=span, frame_fps=frame_fps)
    t_s, scored = described["t_s"], scorer.score(described["records"], described["t_s"], phrases)
    found = locate(scored.scores, t_s, spans=spans, rescore=scored.degraded, **detection)
    clock.lap("relate")
    thumbnails_idx = _shown_idx(t_s, found)
    thumbnails = _thumbnails(thumbnails_idx, pictures, source, t_s, frame_fps)
    clock.lap("thumbnails")
    return KeyframeAnalysis(
        **vars(found),
        source=name_of(source),
        t_s=t_s,
        scores=scored.scores,
        keywords=phrases,
        from_spans=bool(spans),
        thumbnails=thumbnails,
        thumbnails_idx=thumbnails_idx,
        spans=tuple(spans),
        relevance=scorer.name,
        keywords_backend=extractor_name,
        seconds=clock.seconds,
    )


def _described(
    source: Source,
    scorer: RelevanceScorer,
    cache: ContentCache | None,
    lap: Callable[[str], None],
    on_frames: Callable[[float], None] | None,
    **sampling: Any,
) -> tuple[dict[str, np.ndarray], list[bytes]]:
    """Times and records of the frames, out of the cache where they are; then there are no pictures."""
    if cache is None:
        return describe_stream(source, scorer, lap=lap, on_frames=on_frames, **sampling)
    key = content_key(_RECORDS, content_hash(source), sampling, scorer.name)
    entry = cache.get(key)
    lap("hash")
    if entry is not None:
        return entry, []
    entry, pictures = describe_stream(source, scorer, lap=lap, on_frames=on_frames, **sampling)
    cache.put(key, entry)
    return entry, pictures


def _keywords(text: str, keywords: Sequence[str], backend: str | KeywordExtractor, scorer: RelevanceScorer, name: str) -> tuple[tuple[str, ...], str]:
    """The keywords and who extracted them."""
    found, extractor_name = tuple(keywords), ""
    if not keywords and text.strip():
        extractor = load_keywords(backend) if isinstance(backend, str) else backend
        found, extractor_name = extractor([text])[0], extractor.name
    if scorer.needs_keywords and not found:
        raise SampleError(f"{scorer.name} needs keywords, and the text {text!r} names no event; give keywords or choose relevance=motion", path=name)
    return found, extractor_name


def _shown_idx(t_s: np.ndarray, found: Located) -> np.ndarray:
    """The frames a filmstrip shows, wide or narrow, and those that V' shows in their place."""
    source_idx = found.degradation.source_idx if found.degradation else ()
    shown = {i for limit in _SHOWN_COLUMNS for i in choose_columns(t_s.tolist(), source_idx, found.keyframes_idx.tolist(), limit)}
    sources = {source_idx[i] for i in shown} if source_idx else set()
    return np.array(sorted((shown | sources) - {BLANK}), np.int64)


def _thumbnails(idx: np.ndarray, pictures: Sequence[bytes], source: Source, t_s: np.ndarray, frame_fps: float | None) -> np.ndarray:
    """Out of the pictures kept while describing, or read where the records came out of the cache."""
    if pictures:
        return np.stack([unpacked(pictures[i]) for i in idx])
    return read_clip(source, t_s=t_s[idx], size_px=THUMBNAIL_PX, frame_fps=frame_fps).frames


class _Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Adds the time since the last lap to a phase."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now
