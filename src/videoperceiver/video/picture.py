"""Decoded pictures to RGB arrays: turned upright, and resized where asked."""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

SizePx = int | tuple[int, int] | None
"""None: as stored; an int: the longer side is at most this, aspect kept, never enlarged; (height, width): exactly this."""


def quarter_turns(frame: av.VideoFrame) -> tuple[int, bool]:
    """How the display matrix turns the picture: (quarter turns counter-clockwise, mirrored left-right first).

    Matrices that are no multiple of 90 degrees are rounded to the nearest one, as players do.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].astype(float)  # x' = a x + c y, y' = b x + d y, y down
    angle = np.degrees(np.arctan2(c, d))  # the second row is the same whether or not x was mirrored first
    return round(float(angle) / 90) % 4, bool(a * d - b * c < 0)


def target_size(height: int, width: int, size_px: SizePx) -> tuple[int, int]:
    """(height, width) after resizing an upright picture of this height and width."""
    if size_px is None:
        return height, width
    if isinstance(size_px, tuple):
        return size_px
    scale = min(1.0, size_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


class PictureConverter:
    """Turns the frames of one stream into (H, W, 3) uint8 RGB, all of the size of the first one.

    A stream whose resolution changes midway is scaled to its first picture's size, as players do.
    """

    def __init__(self, size_px: SizePx):
        self._size_px = size_px
        self._reformatter = VideoReformatter()  # one for all frames: its scaler's set-up costs more than a small picture
        self._stored: tuple[int, int] | None = None  # (height, width) before turning
        self._turns, self._mirrored = 0, False

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Converts one frame; the result is a view that stays valid, to be copied into its place."""
        if self._stored is None:
            self._turns, self._mirrored = quarter_turns(frame)
            upright = (frame.height, frame.width) if self._turns % 2 == 0 else (frame.width, frame.height)
            height, width = target_size(*upright, self._size_px)
            self._stored = (height, width) if self._turns % 2 == 0 else (width, height)
        height, width = self._stored
        resized = (height, width) != (frame.height, frame.width)
        # Area averaging is the only one of swscale's kernels that neither rings nor aliases when it shrinks a lot.
        kernel = Interpolation.AREA if resized else Interpolation.BILINEAR
        plane = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation=kernel, threads=1).planes[0]
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, : width * 3].reshape(height, width, 3)
        if self._mirrored:
            pixels = pixels[:, ::-1]
        return np.rot90(pixels, self._turns) if self._turns else pixels
