"""Drawn clips in many codecs and containers, each frame telling its own number, and a plain PyAV decode to compare with."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def drawn(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """(T, H, W, 3): a texture that moves, under a strip of eight blocks that spell the frame's number in binary."""
    rng = np.random.default_rng(7)
    texture = rng.integers(60, 190, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = np.stack([np.roll(texture, 2 * i, axis=1) for i in range(num_frames)])
    for i, frame in enumerate(frames):
        for bit in range(8):
            frame[:8, bit * width // 8 : (bit + 1) * width // 8] = 255 * (i >> bit & 1)
    return frames


def number_of(frame: np.ndarray) -> int:
    """Reads the number that `drawn` wrote, through any compression."""
    width = frame.shape[1]
    return sum(1 << bit for bit in range(8) if frame[1:7, bit * width // 8 + 2 : (bit + 1) * width // 8 - 2].mean() > 127)


def encode(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264",
    fps: int = 30,
    t_s: np.ndarray | None = None,
    prepare: Callable = lambda stream: None,
    container_options: dict | None = None,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> Path:
    """Writes frames; `prepare` may change the stream first."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.thread_count = 1
        if t_s is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        prepare(stream)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if t_s is not None:
                frame.pts, frame.time_base = round(t_s[i] * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


VFR_S = np.cumsum(np.random.default_rng(3).choice([0.02, 0.04, 0.1, 0.3], 60))

KINDS: dict[str, dict] = {
    "h264-b.mp4": {"g": "20", "bf": "3", "crf": "30"},
    "h264-b.mkv": {"g": "20", "bf": "3", "crf": "30"},
    "h264-b.ts": {"g": "20", "bf": "3", "crf": "30"},
    "h264-b.flv": {"g": "20", "bf": "3", "crf": "30"},
    "h264-b.avi": {"g": "20", "bf": "3", "crf": "30"},
    "h264-raw.h264": {"g": "20", "bf": "3", "crf": "30"},
    "h264-open.mp4": {"g": "20", "bf": "3", "x264-params": "open-gop=1", "crf": "30"},
    "h264-open.mkv": {"g": "20", "bf": "3", "x264-params": "open-gop=1", "crf": "30"},
    "h264-refresh.mp4": {"x264-params": "intra-refresh=1:keyint=20", "crf": "30"},
    "h264-vfr.mp4": {"g": "20", "bf": "3", "t_s": VFR_S, "crf": "30"},
    "h264-vfr.mkv": {"g": "20", "bf": "3", "t_s": VFR_S + 5, "crf": "30"},
    "hevc.mp4": {"codec": "libx265", "x265-params": "log-level=none:keyint=20:bframes=3:pools=none"},
    "hevc-open.mkv": {"codec": "libx265", "x265-params": "log-level=none:keyint=20:bframes=3:open-gop=1:pools=none"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"},
    "vp9-vfr.webm": {"codec": "libvpx-vp9", "g": "20", "t_s": VFR_S, "deadline": "realtime", "cpu-used": "8"},
    "vp8.webm": {"codec": "libvpx", "g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"},
    "asp.mp4": {"codec": "mpeg4", "g": "20", "bf": "2"},
    "asp.mkv": {"codec": "mpeg4", "g": "20", "bf": "2"},
    "asp.avi": {"codec": "mpeg4", "g": "20", "bf": "2"},
    "asp-no-b.avi": {"codec": "mpeg4", "g": "20"},
    "mpeg2.mpg": {"codec": "mpeg2video", "g": "20", "bf": "2"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "ffv1.mkv": {"codec": "ffv1"},
    "anim.gif": {"codec": "gif", "fps": 25, "pix_fmt": "rgb8"},
}
"""Name -> how to encode it: what data sets hold, and what breaks readers."""


@pytest.fixture(scope="session")
def kinds(tmp_path_factory) -> dict[str, Path]:
    """Every file of KINDS, 60 drawn frames each."""
    folder = tmp_path_factory.mktemp("kinds")
    return {name: encode(folder / name, drawn(60), **{"codec": "libx264", **how}) for name, how in KINDS.items()}


def plain_decode(path: Path) -> tuple[np.ndarray, list[int | None]]:
    """Every frame as PyAV gives it by default, and its pts."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), [frame.pts for frame in frames]
