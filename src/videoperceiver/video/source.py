"""Opens media safely: a regular file or bytes in, a container with one video stream out, every failure a VideoReadError.

FFmpeg would also follow playlists to other files and to the network, draw text files as pictures, and wait for ever on a
pipe. None of that is a video of a data set, so none of it is reachable from here.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import av
import av.error
import av.format
from av.container import Flags, InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from videoperceiver.errors import BudgetError, SampleError, VideoReadError

Source = str | os.PathLike[str] | bytes

MAX_FRAME_PX = 2**26
"""Largest picture that is decoded, in pixels (8192 x 8192): one frame of it takes 200 MB as RGB."""

_REFERS = "concat concatf dash data hls image2 imf lavfi rtp rtsp sap sdp"  # lead to other files or addresses
_TEXT = "adf bin idf tty xbin"  # text, which FFmpeg draws as pictures
_SUBTITLES = "aqtitle ass jacosub lrc microdvd mpl2 mpsub pjs realtext sami scc srt stl subviewer subviewer1 sup tedcaptions vplayer webvtt"
_FORMATS = ",".join(sorted(av.format.formats_available - set(f"{_REFERS} {_TEXT} {_SUBTITLES} ffmetadata".split())))
_MEDIA_ERRORS = (av.error.FFmpegError, OSError, EOFError, ValueError, OverflowError)
"""What PyAV raises on damaged input."""

_KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def name_of(source: Source) -> str:
    """The path as text, for messages; bytes have no name."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else os.fsdecode(source)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns whatever decoding raises into a VideoReadError (BudgetError when memory ran out) that names the file."""
    try:
        yield
    except SampleError:
        raise
    except MemoryError as error:
        raise BudgetError("decoding ran out of memory; raise memory_mb, or read fewer or smaller frames", path=name) from error
    except _MEDIA_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VideoReadError(f"{reason} ({type(error).__name__}); expected a video FFmpeg can decode. Re-encode or drop the file", path=name) from error


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Opens a regular file for reading and never blocks: a pipe, device, socket or folder is refused.

    Raises:
        VideoReadError: not there, not readable, not a regular file, a loop of symbolic links, empty.
    """
    name = name_of(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL inside the name
        raise VideoReadError(f"{getattr(error, 'strerror', None) or error}; expected a readable file", path=name) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}.get(
            stat.S_IFMT(status.st_mode), "special file"
        )
        raise VideoReadError(f"is a {kind}; expected a regular file", path=name)
    if status.st_size == 0:
        os.close(descriptor)
        raise VideoReadError("is empty (0 bytes); expected a video. Fetch it again", path=name)
    return open(descriptor, "rb", buffering=0)


class _Nameless:
    """A file without its name: FFmpeg then judges by content alone, so extensions and `%03d` in names mean nothing."""

    def __init__(self, file: io.RawIOBase | io.BytesIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _refuse_nested(url: str, flags: int, options: dict) -> io.IOBase:
    raise PermissionError(f"the file refers to another file or address, {url[:200]!r}, which is never opened")


@contextmanager
def open_container(source: Source) -> Iterator[InputContainer]:
    """Opens a file or bytes as an FFmpeg container.

    Raises:
        VideoReadError: not a regular file, or no container that FFmpeg knows.
    """
    if isinstance(source, bytes) and not source:
        raise VideoReadError("is empty (0 bytes); expected a video", path=name_of(source))
    file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "", "max_pixels": str(MAX_FRAME_PX)}
    with (
        file,
        reading(name_of(source)),
        # Metadata may hold any encoding (HMDB51's does); it is not used, so it must not fail the read.
        av.open(_Nameless(file), mode="r", options=options, metadata_errors="replace", io_open=_refuse_nested, buffer_size=2**18) as container,
    ):
        if container.format.name == "avi":  # stores no times; those that FFmpeg would invent are in the wrong order with B-frames
            container.flags &= ~Flags.gen_pts.value
        yield container


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The container's video stream, cover pictures apart; the one of the largest picture where there are several, as FFmpeg chooses.

    Raises:
        VideoReadError: there is none, it has no decoder, or its pictures are larger than MAX_FRAME_PX.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise VideoReadError(f"has no video stream (it holds {held}); expected one", path=name)
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        raise VideoReadError("its video codec has no decoder in this FFmpeg. Re-encode it, for example to H.264", path=name)
    stream = max(streams, key=lambda s: s.width * s.height)
    if stream.width * stream.height > MAX_FRAME_PX:
        raise VideoReadError(f"pictures of {stream.width} x {stream.height} px; expected at most {MAX_FRAME_PX} px in all. Re-encode it smaller", path=name)
    return stream


def exists_as_folder(source: Source) -> bool:
    """Whether the source is a folder of images rather than a file."""
    return not isinstance(source, bytes) and os.path.isdir(source)  # unlike Path.is_dir, never raises
