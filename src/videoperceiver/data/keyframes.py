"""From a video and a text to its key frames and V' (paper 3.1), streamed: the core of `videoperceiver keyframes`.

A thread decodes while the scorer describes what was decoded before, a batch at a time; only one small record a frame is kept. An hour at
2 fps stays below 500 MB over the loaded models (`benchmarks/keyframes_memory.py`).
"""

import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from videoperceiver.data.pixels import ContentCache, content_hash, content_key
from videoperceiver.errors import SampleError, VideoReadError
from videoperceiver.pages.filmstrip import choose_columns
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import RelevanceScorer, degraded, load_relevance
from videoperceiver.types import BLANK, Degradation, Span
from videoperceiver.video.degrade import degrade, with_residual
from videoperceiver.video.keyframes import PROMINENCE, REL_HEIGHT, contiguous, find_keyframes, from_spans, runs
from videoperceiver.video.read import iter_frames, read_clip
from videoperceiver.video.source import Source, name_of

_Item = TypeVar("_Item")
_BATCH = 8
_AHEAD = 4
_THUMBNAIL_PX = 176
_SHOWN_COLUMNS = (10, 16)
_SCORES = "scores/1"


@dataclass(frozen=True, eq=False)
class KeyframeAnalysis:
    """What was found in one video.

    Attributes:
        source: the video, for titles and messages.
        t_s: (T,) times of the frames looked at, source seconds.
        scores: (T,) float32 relevance of each.
        keywords: what it was measured against; empty where the backend looks at pixels alone.
        keyframes_idx: (K,) key frames.
        from_spans: the key frames are those of the annotated events, not detected.
        runs: contiguous frames around them; what `hold` replaces.
        degradation: how V' is made, None where nothing would be replaced.
        degraded_scores: (T,) relevance of what V' shows; empty without V'.
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
    keyframes_idx: np.ndarray
    from_spans: bool
    runs: tuple[range, ...]
    degradation: Degradation | None
    degraded_scores: np.ndarray
    thumbnails: np.ndarray
    thumbnails_idx: np.ndarray
    spans: tuple[Span, ...]
    relevance: str
    keywords_backend: str
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Located:
    """Key frames of a scored clip and its V'; fields as in `KeyframeAnalysis`."""

    keyframes_idx: np.ndarray
    runs: tuple[range, ...]
    degradation: Degradation | None
    degraded_scores: np.ndarray


def analyse(
    source: Source,
    *,
    text: str = "",
    keywords: Sequence[str] = (),
    fps: float = 8.0,
    span: tuple[float, float] | None = None,
    relevance: str | RelevanceScorer = "proxy",
    keywords_backend: str | KeywordExtractor = "spacy",
    operator: str = "hold",
    seed: int = 0,
    spans: Sequence[Span] = (),
    prominence: float = PROMINENCE,
    rel_height: float = REL_HEIGHT,
    literal: bool = False,
    removed_threshold: float = 0.5,
    frame_fps: float | None = None,
    cache: ContentCache | None = None,
    on_frames: Callable[[float], None] | None = None,
) -> KeyframeAnalysis:
    """Finds the key frames of a video of any length and says what V' would be.

    Args:
        source: a video file, a folder of images, or a file's bytes.
        text: caption, or question and answer; its event phrases become the keywords where none are given.
        keywords: event phrases, in place of `text`.
        fps: frames a second to look at.
        span: (start, end) seconds to look at; None is all.
        relevance: a backend's name (`scoring.relevance.BACKENDS`) or a scorer that is loaded already.
        keywords_backend: "spacy", "endpoint", "transformers", or an extractor; not loaded where `keywords` are given.
        operator: of V' (`video.degrade.OPERATORS`).
        seed: of the random operators.
        spans: annotated events, source seconds; where given they take the place of detection.
        prominence: as in `video.keyframes.find_keyframes`.
        rel_height: as there; runs reach down to it.
        literal: eq. (2) as written.
        removed_threshold: V' counts as free of the event when no replaced frame exceeds this share of the range of scores.
        frame_fps: images a second, for a folder.
        cache: keeps scores by (video bytes, sampling, backend, keywords).
        on_frames: called with the time, in seconds of the source, up to which frames have been described.

    Raises:
        VideoReadError: the video cannot be read or has no frame in `span`.
        SampleError: the backend needs keywords, and the text names no event.
        ConfigError: an unknown backend.
        MissingExtraError: a backend's packages are not installed.
    """
    name, clock = name_of(source), _Clock()
    scorer = load_relevance(relevance) if isinstance(relevance, str) else relevance
    phrases, extractor_name = _keywords(text, keywords, keywords_backend)
    if scorer.needs_keywords and not phrases:
        raise SampleError(f"{scorer.name} needs keywords, and the text {text!r} names no event; give keywords or choose relevance=motion", path=name)
    clock.lap("load")
    sampling = {"fps": fps, "span": span, "frame_fps": frame_fps}
    key = content_key(_SCORES, content_hash(source), sampling, scorer.name, list(phrases)) if cache else ""
    entry, pictures = cache.get(key) if cache else None, []
    clock.lap("hash")
    if entry is None:
        pairs = iter_frames(source, fps=fps, span=span, size_px=scorer.size_px, frame_fps=frame_fps, num_threads=max(1, (os.cpu_count() or 2) // 2))
        entry, pictures = _score(pairs, scorer, phrases, clock, on_frames, name)
        if cache:
            cache.put(key, entry)
    t_s, scores = entry["t_s"], entry["scores"]
    found = locate(
        scores,
        t_s,
        spans=spans,
        operator=operator,
        seed=seed,
        prominence=prominence,
        rel_height=rel_height,
        literal=literal,
        removed_threshold=removed_threshold,
    )
    clock.lap("locate")
    thumbnails_idx = _thumbnails_idx(t_s, found)
    if pictures:
        thumbnails = np.stack([_unpacked(pictures[i]) for i in thumbnails_idx])
    else:
        thumbnails = read_clip(source, t_s=t_s[thumbnails_idx], size_px=_THUMBNAIL_PX, frame_fps=frame_fps).frames
    clock.lap("thumbnails")
    return KeyframeAnalysis(
        source=name,
        t_s=t_s,
        scores=scores,
        keywords=phrases,
        keyframes_idx=found.keyframes_idx,
        from_spans=bool(spans),
        runs=found.runs,
        degradation=found.degradation,
        degraded_scores=found.degraded_scores,
        thumbnails=thumbnails,
        thumbnails_idx=thumbnails_idx,
        spans=tuple(spans),
        relevance=scorer.name,
        keywords_backend=extractor_name,
        seconds=clock.seconds,
    )


def locate(
    scores: np.ndarray,
    t_s: np.ndarray,
    *,
    spans: Sequence[Span] = (),
    operator: str = "hold",
    seed: int = 0,
    prominence: float = PROMINENCE,
    rel_height: float = REL_HEIGHT,
    literal: bool = False,
    removed_threshold: float = 0.5,
) -> Located:
    """Key frames, runs and V' of a clip whose frames are scored; arguments as in `analyse`.

    Annotated spans take the place of detection, and their frames are their own runs.
    """
    keyframes_idx = from_spans(t_s, spans) if spans else find_keyframes(scores, prominence=prominence, rel_height=rel_height, literal=literal)
    around = contiguous(keyframes_idx) if spans else runs(scores, keyframes_idx, rel_height=rel_height)
    degradation = degrade(len(scores), operator, runs=around, keyframes_idx=keyframes_idx, seed=seed)
    degraded_scores = np.empty(0, np.float32)
    if degradation is not None:
        degraded_scores = degraded(scores, degradation.source_idx)
        degradation = with_residual(degradation, scores, degraded_scores, float(scores.min() + removed_threshold * np.ptp(scores)))
    return Located(keyframes_idx, tuple(around), degradation, degraded_scores)


def ahead(items: Iterable[_Item], size: int = _AHEAD) -> Iterator[_Item]:
    """The items of an iterable, produced in one thread up to `size` ahead of their use; what it raises is raised here."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        pending = deque(thread.submit(next, iterator, end) for _ in range(size))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            for future in pending:
                future.cancel()


def _score(
    pairs: Iterable[tuple[np.ndarray, float]],
    scorer: RelevanceScorer,
    keywords: Sequence[str],
    clock: "_Clock",
    on_frames: Callable[[float], None] | None,
    name: str,
) -> tuple[dict[str, np.ndarray], list[bytes]]:
    """Times and scores (T,) of a stream of frames, and each as a small JPEG; nothing else of a frame is kept but its record."""
    records, times_s, pictures = [], [], []
    for frames, at_s in ahead(_batches(pairs)):
        clock.lap("decode")
        records.append(scorer.describe(frames))
        times_s.append(at_s)
        pictures += [_packed(frame) for frame in frames]
        clock.lap("describe")
        if on_frames:
            on_frames(float(at_s[-1]))
    clock.lap("decode")
    if not records:
        raise VideoReadError("no frame decodes in what was asked for; expected at least one. Choose another span, or drop the file", path=name)
    t_s = np.concatenate(times_s)
    scores = scorer.relate(np.concatenate(records), t_s, keywords)
    clock.lap("relate")
    return {"t_s": t_s, "scores": scores}, pictures


def _packed(frame: np.ndarray) -> bytes:
    """A frame as a small JPEG: a twentieth of its pixels' size, and cheaper than decoding the video again once it is known which are shown."""
    image = Image.fromarray(frame)
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def _unpacked(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))


def _batches(pairs: Iterable[tuple[np.ndarray, float]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    frames, times_s = [], []
    for pixels, at_s in pairs:
        frames.append(pixels)
        times_s.append(at_s)
        if len(frames) == _BATCH:
            yield np.stack(frames), np.array(times_s)
            frames, times_s = [], []
    if frames:
        yield np.stack(frames), np.array(times_s)


def _keywords(text: str, keywords: Sequence[str], backend: str | KeywordExtractor) -> tuple[tuple[str, ...], str]:
    if keywords or not text.strip():
        return tuple(keywords), ""
    extractor = load_keywords(backend) if isinstance(backend, str) else backend
    return extractor([text])[0], extractor.name


def _thumbnails_idx(t_s: np.ndarray, found: Located) -> np.ndarray:
    """The frames a filmstrip shows, wide or narrow, and those that V' shows in their place."""
    source_idx = found.degradation.source_idx if found.degradation else ()
    shown = {i for limit in _SHOWN_COLUMNS for i in choose_columns(t_s.tolist(), source_idx, found.keyframes_idx.tolist(), limit)}
    sources = {source_idx[i] for i in shown} if source_idx else set()
    return np.array(sorted((shown | sources) - {BLANK}), np.int64)


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
