"""A source of frames with known times: a video file, bytes, or a folder of images."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.container import InputContainer
from av.stream import Discard

from videoperceiver.errors import VideoReadError
from videoperceiver.video.decode import Decoder
from videoperceiver.video.packets import PacketReader
from videoperceiver.video.picture import PictureConverter, SizePx, quarter_turns
from videoperceiver.video.source import Source, exists_as_folder, name_of, open_container, reading, video_stream

logger = logging.getLogger(__name__)
NOT_ITS_OWN_TIMES = "%s: its times are assumed: %s"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
_LOST_PICTURES, _LOST_SHARE = 2, 0.05
"""A video may end this many pictures, or this share of them, before what its header promises (HMDB51's files do)."""


@dataclass(frozen=True)
class VideoInfo:
    """What a header says, unverified; None where it says nothing.

    Attributes:
        duration_s: length in seconds.
        fps: mean frames a second.
        num_frames: number of frames.
        width_px: of the upright picture.
        height_px: of the upright picture.
        codec: FFmpeg's name, "images" for a folder.
        rotation: degrees counter-clockwise by which the stored picture is turned to be upright: 0, 90, 180 or 270.
        start_s: presentation time of the first frame, seconds; not always 0.
    """

    duration_s: float | None
    fps: float | None
    num_frames: int | None
    width_px: int
    height_px: int
    codec: str
    rotation: int
    start_s: float | None = 0.0


class Track(Protocol):
    """Frames with known times."""

    name: str
    times_s: np.ndarray
    """(T,) increasing presentation times, seconds."""
    assumed: str
    """What had to be assumed about them, in words; empty where the source says them."""

    def frames(self, idx: np.ndarray, size_px: SizePx) -> Iterator[tuple[np.ndarray, float]]:
        """(H, W, 3) uint8 frames at `times_s[idx]`, with their times; idx (M,) increasing."""
        ...


class VideoTrack:
    """The video stream of an open container."""

    def __init__(self, container: InputContainer, source: Source, num_threads: int):
        self.name = name = name_of(source)
        stream = video_stream(container, name)
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        packets = PacketReader(container, stream, source)
        self._decoder = Decoder(stream, packets, num_threads)
        self.times_s, self.assumed = packets.index.times_s, packets.index.assumed
        _check_length(stream, len(packets.index.pts), name)

    def frames(self, idx: np.ndarray, size_px: SizePx) -> Iterator[tuple[np.ndarray, float]]:
        """See Track.frames."""
        convert, num_read = PictureConverter(size_px), 0
        for frame, at_s in self._decoder.frames(idx):
            num_read += 1
            yield convert(frame), at_s
        if num_read == 0 or len(idx) - num_read > max(_LOST_PICTURES, _LOST_SHARE * len(idx)):
            raise VideoReadError(f"{num_read} of {len(idx)} pictures could be decoded. Fetch or re-encode it", path=self.name)


def _check_length(stream: av.VideoStream, num_found: int, name: str) -> None:
    promised = stream.frames
    if promised - num_found > max(_LOST_PICTURES, _LOST_SHARE * promised):
        raise VideoReadError(f"is cut off: its header promises {promised} pictures, {num_found} are there. Fetch it again", path=name)


class FolderTrack:
    """A folder of numbered images, one a frame.

    The number at the end of each name is its place in time, so that a missing image leaves a gap rather than shifting what follows;
    names without numbers are taken in alphabetical order.

    Args:
        folder: holds the images, and possibly other files, which are ignored.
        frame_fps: images a second.
    """

    def __init__(self, folder: Path, frame_fps: float | None):
        self.name, self.assumed = str(folder), ""
        with reading(self.name):
            paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        if not paths:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            raise VideoReadError(f"is a folder that holds no image ({suffixes}); name a video file, or a folder of numbered images", path=self.name)
        if frame_fps is None or not 0 < frame_fps < np.inf:
            raise VideoReadError(f"is a folder of images, whose rate must be given: got frame_fps={frame_fps}, expected images a second", path=self.name)
        self.fps = frame_fps
        self._paths, places = _in_time(paths)
        self.times_s = places / frame_fps

    def frames(self, idx: np.ndarray, size_px: SizePx) -> Iterator[tuple[np.ndarray, float]]:
        """See Track.frames."""
        shape = None
        for i in idx.tolist():
            pixels = _read_image(self._paths[i], size_px)
            if pixels.shape != (shape := shape or pixels.shape):
                raise VideoReadError(
                    f"is {pixels.shape[1]} x {pixels.shape[0]} px, the first image is {shape[1]} x {shape[0]}; expected one size", path=str(self._paths[i])
                )
            yield pixels, float(self.times_s[i])


def _in_time(paths: list[Path]) -> tuple[list[Path], np.ndarray]:
    """Images in order and their places (T,), from 0."""
    numbers = [re.search(r"(\d+)$", path.stem) for path in paths]
    keys = [int(number[1]) for number in numbers if number]
    if len(keys) < len(paths) or len(set(keys)) < len(keys):
        return sorted(paths), np.arange(len(paths))
    order = sorted(range(len(paths)), key=keys.__getitem__)
    return [paths[i] for i in order], np.array([keys[i] - keys[order[0]] for i in order])


def _read_image(path: Path, size_px: SizePx) -> np.ndarray:
    with open_container(path) as container, reading(str(path)):
        stream = video_stream(container, str(path))
        for frame in container.decode(stream):
            return PictureConverter(size_px)(frame)
    raise VideoReadError("holds no picture; expected one image", path=str(path))


@contextmanager
def open_track(source: Source, *, frame_fps: float | None, num_threads: int) -> Iterator[Track]:
    """Opens a file, bytes or a folder of images.

    Args:
        source: path or the file's bytes.
        frame_fps: images a second; for folders, and for them only.
        num_threads: decoder threads, 0: as many as the machine has cores.

    Raises:
        VideoReadError: it cannot be read.
    """
    if exists_as_folder(source):
        yield FolderTrack(Path(os.fsdecode(source)), frame_fps)
        return
    with open_container(source) as container:
        track = VideoTrack(container, source, num_threads)
        if track.assumed:
            logger.warning(NOT_ITS_OWN_TIMES, track.name, track.assumed)
        yield track


def read_info(source: Source) -> VideoInfo:
    """What the header of a file says; one frame is decoded for its rotation."""
    name = name_of(source)
    with open_container(source) as container:
        stream = video_stream(container, name)
        tick_s = float(stream.time_base or 0)
        duration_s = stream.duration * tick_s if stream.duration else container.duration / 1e6 if container.duration else None
        first = next(container.decode(stream), None)
        if first is None:
            raise VideoReadError("its video stream holds no picture that can be decoded", path=name)
        turns, _ = quarter_turns(first)
        height, width = (first.height, first.width) if turns % 2 == 0 else (first.width, first.height)
        return VideoInfo(
            duration_s=duration_s,
            fps=float(stream.average_rate) if stream.average_rate else None,
            num_frames=stream.frames or None,
            width_px=width,
            height_px=height,
            codec=stream.codec_context.codec.canonical_name,
            rotation=turns * 90,
            start_s=stream.start_time * tick_s if stream.start_time is not None else None,
        )
