"""Encoder of this room until video/write.py stands."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_mp4(frames: np.ndarray, path: str | Path, *, fps: float, crf: int, pix_fmt: str) -> None:
    """Write (T, H, W, 3) uint8 frames as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt, stream.thread_count = frames.shape[1], frames.shape[2], pix_fmt, 1
        stream.options = {"crf": str(crf), "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
