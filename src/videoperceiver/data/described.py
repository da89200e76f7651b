"""Frames of any length of video to one small record a frame, streamed: a thread decodes while the scorer describes what came before."""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from videoperceiver.data.ahead import ahead
from videoperceiver.errors import VideoReadError
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.video.read import iter_frames
from videoperceiver.video.source import Source, name_of

_BATCH = 8
THUMBNAIL_PX = 176


def describe_stream(
    source: Source, scorer: RelevanceScorer, *, lap: Callable[[str], None], on_frames: Callable[[float], None] | None = None, **sampling: Any
) -> tuple[dict[str, np.ndarray], list[bytes]]:
    """Describes the frames that a sampling asks for; nothing else of a frame is kept but its record and a small JPEG.

    Args:
        source: a video file, a folder of images, or a file's bytes.
        scorer: whose records they are.
        lap: told the phase that has just ended: "decode" (waiting for frames), "describe".
        on_frames: called with the time, in seconds of the source, up to which frames have been described.
        **sampling: of `video.read.iter_frames`.

    Returns:
        {"t_s": (T,) times, "records": (T, ..)}, and T JPEGs of at most `THUMBNAIL_PX`.

    Raises:
        VideoReadError: it cannot be read, or has no frame there.
    """
    records, times_s, pictures = [], [], []
    pairs = iter_frames(source, size_px=scorer.size_px, num_threads=max(1, (os.cpu_count() or 2) // 2), **sampling)
    for frames, at_s in ahead(_batches(pairs)):
        lap("decode")
        records.append(scorer.describe(frames))
        times_s.append(at_s)
        pictures += [_packed(frame) for frame in frames]
        lap("describe")
        if on_frames:
            on_frames(float(at_s[-1]))
    lap("decode")
    if not records:
        raise VideoReadError("no frame decodes in what was asked for; expected at least one. Choose another span, or drop the file", path=name_of(source))
    return {"t_s": np.concatenate(times_s), "records": np.concatenate(records)}, pictures


def _packed(frame: np.ndarray) -> bytes:
    """A frame as a small JPEG: a twentieth of its pixels' size, and cheaper than decoding the video again once it is known which are shown."""
    image = Image.fromarray(frame)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def unpacked(picture: bytes) -> np.ndarray:
    """(h, w, 3) uint8 of a picture that `describe_stream` kept."""
    return np.asarray(Image.open(io.BytesIO(picture)))


def _batches(pairs: Iterable[tuple[np.ndarray, float]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of 1, 2, 4, then always `_BATCH` frames, so that the scorer need not wait for a whole batch at the start."""
    frames, times_s, size = [], [], 1
    for pixels, at_s in pairs:
        frames.append(pixels)
        times_s.append(at_s)
        if len(frames) == size:
            yield np.stack(frames), np.array(times_s)
            frames, times_s, size = [], [], min(2 * size, _BATCH)
    if frames:
        yield np.stack(frames), np.array(times_s)
