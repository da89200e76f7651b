"""Takes one clip out of what a data set ships: a stretch of a long video, cropped, or a file inside an archive."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from videoperceiver.errors import VideoReadError
from videoperceiver.video.read import iter_frames
from videoperceiver.video.source import Source, name_of, open_regular, reading
from videoperceiver.video.write import write_timed


def cut(raw: Source, *, target: str, span: Sequence[float], box: Sequence[float]) -> None:
    """Writes a stretch of a video, cropped; the first frame is at 0 s. The file appears whole or not at all.

    Args:
        raw: the whole video.
        target: the file to write; its folder is made.
        span: (start, end) seconds of the source, fractions kept.
        box: (top, bottom, left, right) as shares of the picture.

    Raises:
        VideoReadError: it cannot be read, or has no frame there.
    """
    top, bottom, left, right = box
    Path(target).parent.mkdir(parents=True, exist_ok=True)

    def cropped() -> Iterator[tuple[np.ndarray, float]]:
        first_s = None
        for pixels, at_s in iter_frames(raw, span=(span[0], span[1]), num_threads=1):
            height, width = pixels.shape[:2]
            first_s = at_s if first_s is None else first_s
            yield pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)], at_s - first_s

    with reading(name_of(raw)):
        write_timed(cropped(), target)


def copy_out(archive: Source, *, target: str, offset: int, num_bytes: int) -> None:
    """Writes a file that lies uncompressed inside an archive; it appears whole or not at all.

    Args:
        archive: its path.
        target: the file to write; its folder is made.
        offset: of its first byte.
        num_bytes: its length.

    Raises:
        VideoReadError: the archive cannot be read, or ends before that.
    """
    name, path = name_of(archive), Path(target)
    assert not isinstance(archive, bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open_regular(archive) as source, partial.open("wb") as file:
            source.seek(offset)
            left = num_bytes
            while left and (chunk := source.read(min(left, 2**20))):
                file.write(chunk)
                left -= len(chunk)
        if left:
            raise VideoReadError(f"is cut off: {path.name} inside it lacks {left} of {num_bytes} bytes. Fetch the archive again", path=name)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
