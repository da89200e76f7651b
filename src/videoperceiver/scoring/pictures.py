"""Frames as chat endpoints take them: JPEG pictures in data URLs, each after its time in words."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

QUALITY = 90
"""Of the JPEGs."""


def time_in_words(t_s: float) -> str:
    """What stands before a frame."""
    return f"<{t_s:.1f} seconds>"


def timed_pictures(frames: np.ndarray, t_s: Sequence[float]) -> list[dict[str, Any]]:
    """Parts of a chat message.

    Args:
        frames: (T, H, W, 3) uint8.
        t_s: (T,) seconds.
    """
    parts: list[dict[str, Any]] = []
    for frame, time in zip(frames, t_s, strict=True):
        parts.append({"type": "text", "text": time_in_words(time)})
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg(frame)).decode()}"}})
    return parts


def jpeg(frame: np.ndarray) -> bytes:
    """A frame (H, W, 3) uint8 as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
