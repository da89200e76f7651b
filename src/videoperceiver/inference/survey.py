"""The coarse look at a whole video: relevance of every frame at a low rate, streamed, so that hours fit in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.data.ahead import ahead
from videoperceiver.errors import VideoReadError
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.video.read import iter_frames, probe
from videoperceiver.video.source import Source, name_of

_BATCH = 8
_PARTS = 5
"""A partial survey is given after each fifth of the video: relating is cheap beside decoding, but not free."""
_UNKNOWN_PART_S = 60.0
"""How often, where the file does not tell its length."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a video so far.

    Attributes:
        t_s: (T,) times of the frames looked at, source seconds.
        scores: (T,) float32 relevance of each to the keywords; relative to the clip, so they shift as more is seen.
        complete: whether the whole video was seen.
    """

    t_s: np.ndarray
    scores: np.ndarray
    complete: bool


def survey(source: Source, keywords: Sequence[str], scorer: RelevanceScorer, *, fps: float, frame_fps: float | None = None) -> Iterator[Survey]:
    """Scores a video while it is decoded in a thread beside; only a small record a frame is kept.

    Args:
        source: a file, a folder of images, or a file's bytes.
        keywords: event phrases.
        scorer: a relevance backend.
        fps: frames a second to look at.
        frame_fps: images a second, for a folder.

    Yields:
        Partial surveys on the way, the complete one last.

    Raises:
        VideoReadError: the video cannot be read, or no frame of it decodes.
    """
    length_s = probe(source, frame_fps=frame_fps).duration_s
    part_s = length_s / _PARTS if length_s else _UNKNOWN_PART_S
    records, times_s, due_s = [], [], part_s
    for frames, at_s in ahead(_batches(source, fps, scorer.size_px, frame_fps)):
        if times_s and at_s[0] - times_s[0][0] >= due_s:
            yield _related(scorer, records, times_s, keywords, complete=False)
            due_s += part_s
        records.append(scorer.describe(frames))
        times_s.append(at_s)
    if not records:
        raise VideoReadError("no frame decodes; expected at least one. Check the file, or drop it", path=name_of(source))
    yield _related(scorer, records, times_s, keywords, complete=True)


def _related(scorer: RelevanceScorer, records: list[np.ndarray], times_s: list[np.ndarray], keywords: Sequence[str], *, complete: bool) -> Survey:
    t_s = np.concatenate(times_s)
    return Survey(t_s, scorer.relate(np.concatenate(records), t_s, keywords), complete)


def _batches(source: Source, fps: float, size_px: int, frame_fps: float | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (n, H, W, 3) and times (n,), a few at a time."""
    frames, times_s = [], []
    for pixels, at_s in iter_frames(source, fps=fps, size_px=size_px, frame_fps=frame_fps):
        frames.append(pixels)
        times_s.append(at_s)
        if len(frames) == _BATCH:
            yield np.stack(frames), np.array(times_s)
            frames, times_s = [], []
    if frames:
        yield np.stack(frames), np.array(times_s)
