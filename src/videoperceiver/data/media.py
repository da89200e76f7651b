"""Where a clip's media lie, or how they are made: cut out of a longer video, or copied out of an archive, by the worker that needs them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videoperceiver.video.pool import DecodePool, ReadRequest


@dataclass(frozen=True)
class Cut:
    """A stretch of a longer video.

    Attributes:
        raw: the video.
        span: (start, end) seconds.
        box: (top, bottom, left, right) as shares of the picture.
    """

    raw: str
    span: tuple[float, float]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Member:
    """A file that lies uncompressed inside an archive.

    Attributes:
        archive: its path.
        offset: of the first byte.
        num_bytes: its length.
    """

    archive: str
    offset: int
    num_bytes: int


@dataclass(frozen=True)
class Media:
    """A clip's media.

    Attributes:
        path: a video file or a folder of images; of a cut or a member where it will lie.
        origin: how it is made, None where it lies there already.
    """

    path: str
    origin: Cut | Member | None = None

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        return {"path": self.path, "cut": _fields(self.origin, Cut), "member": _fields(self.origin, Member)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Media":
        """Of JSON."""
        if cut := row["cut"]:
            return cls(row["path"], Cut(cut["raw"], tuple(cut["span"]), tuple(cut["box"])))
        return cls(row["path"], Member(**row["member"]) if row["member"] else None)

    def make(self, pool: DecodePool, sample_id: str) -> None:
        """Makes what has to be made, in a process that can be killed; nothing where it is there already. Raises SampleError."""
        if self.origin is None or Path(self.path).exists():
            return
        match self.origin:
            case Cut(raw, span, box):
                pool.ask(ReadRequest(raw, {"target": self.path, "span": span, "box": box}, sample_id, "cut"))
            case Member(archive, offset, num_bytes):
                pool.ask(ReadRequest(archive, {"target": self.path, "offset": offset, "num_bytes": num_bytes}, sample_id, "copied"))


def _fields(origin: Cut | Member | None, kind: type) -> dict[str, Any] | None:
    return asdict(origin) if isinstance(origin, kind) else None  # type: ignore[arg-type]
