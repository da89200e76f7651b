"""Writes clips as MP4 that any player and browser shows."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from videoperceiver.types import Clip

_TICKS_A_SECOND = 90_000


def write_mp4(
    clip: Clip | Iterable[np.ndarray],
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    crf: int = 18,
    pix_fmt: str = "yuv420p",
    preset: str = "veryfast",
) -> Path:
    """Encodes frames as H.264, keeping a clip's own times to 1/90000 s.

    Odd sizes are padded by repeating the last row or column, because H.264 stores colour for 2 x 2 pixels. The file appears when it is
    complete, under its final name.

    Args:
        clip: a clip, or any iterable of (H, W, 3) uint8 frames, which is streamed.
        path: to write, replaced where it exists.
        fps: frames a second; for bare frames, and for them only.
        crf: quality of x264, 0 (lossless) to 51.
        pix_fmt: "yuv420p", which every player shows, or "yuv444p", which keeps the colour of each pixel.
        preset: x264's trade of time for size.

    Returns:
        The path.

    Raises:
        ValueError: no frame, `fps` missing for bare frames or given for a clip, frames of several sizes.
        OSError: the file cannot be written.
    """
    if isinstance(clip, Clip) and fps is None:
        pairs = zip(clip.frames, clip.t_s)
    elif not isinstance(clip, Clip) and fps is not None and fps > 0:
        pairs = ((frame, i / fps) for i, frame in enumerate(clip))
    else:
        raise ValueError(f"got {type(clip).__name__} and fps={fps}; expected bare frames with their fps, or a Clip, which has its own times")
    return write_timed(pairs, path, fps=fps, crf=crf, pix_fmt=pix_fmt, preset=preset)


def write_timed(
    pairs: Iterable[tuple[np.ndarray, float]],
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    crf: int = 18,
    pix_fmt: str = "yuv420p",
    preset: str = "veryfast",
) -> Path:
    """As `write_mp4`, of streamed frames that have times of their own.

    Args:
        pairs: (H, W, 3) uint8 frames and their seconds, increasing.
        path: as in `write_mp4`.
        fps: nominal rate for the header; None: 30.
        crf: as in `write_mp4`.
        pix_fmt: as in `write_mp4`.
        preset: as in `write_mp4`.

    Raises:
        ValueError: no frame, or frames of several sizes.
        OSError: the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            num_written = _encode(container, pairs, fps, pix_fmt, {"crf": str(crf), "preset": preset})
        if not num_written:
            raise ValueError("got no frame to write; expected at least one")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _encode(container: OutputContainer, pairs: Iterable[tuple[np.ndarray, float]], fps: float | None, pix_fmt: str, options: dict[str, str]) -> int:
    """Encodes (frame, seconds) pairs; returns how many."""
    stream, shape, num_written = None, None, 0
    for pixels, at_s in pairs:
        height, width = pixels.shape[:2]
        if stream is None:
            shape = pixels.shape
            stream = container.add_stream("libx264", rate=Fraction(fps or 30).limit_denominator(1001), options=options)
            stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, pix_fmt
            stream.codec_context.time_base = Fraction(1, _TICKS_A_SECOND)
            stream.codec_context.thread_count = 1 if height * width < 2**16 else 0  # threads cost more than a small picture
        if pixels.shape != shape:
            raise ValueError(f"got frames of shape {shape} and {pixels.shape}; expected one shape")
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else pixels
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.pts, frame.time_base = round(float(at_s) * _TICKS_A_SECOND), Fraction(1, _TICKS_A_SECOND)
        container.mux(stream.encode(frame))
        num_written += 1
    if stream is not None:
        container.mux(stream.encode(None))
    return num_written
