"""What goes into a worker of stage 0 and what comes out: small records of JSON, never pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from videoperceiver import errors
from videoperceiver.data.media import Media
from videoperceiver.data.schema import from_row, to_row
from videoperceiver.data.validate import Dropped
from videoperceiver.errors import SampleError
from videoperceiver.types import Sample


@dataclass(frozen=True)
class Task:
    """A clip to prepare.

    Attributes:
        sample: what is known of it.
        media: where it lies, or how it is made.
        error: why it cannot be prepared: kind, path and reason; None where it can.
    """

    sample: Sample
    media: Media
    error: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"sample": to_row(self.sample), "media": self.media.to_row(), "error": self.error}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Task":
        """Of JSON values."""
        return cls(from_row(row["sample"]), Media.from_row(row["media"]), row["error"])


@dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    Attributes:
        id: the sample's.
        media: where its media came from.
        sample: its row; None where it was rejected.
        error: why: kind, path and reason.
        dropped: what of its texts did not stand the rules.
        hashes: (n,) uint64 of its fingerprint; empty where none was wanted.
        motion: (128,) int8 of its fingerprint, or empty.
        seconds: processor time by phase, of the clips that were prepared together; on one of them.
    """

    id: str
    media: str
    sample: Sample | None = None
    error: Mapping[str, str] | None = None
    dropped: tuple[Dropped, ...] = ()
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    motion: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def rejected(cls, task: Task, error: SampleError, dropped: Sequence[Dropped] = ()) -> "Outcome":
        """Of a clip that came to nothing."""
        return cls(task.sample.id, task.media.path, None, error_row(error, task), tuple(dropped))

    @property
    def reject(self) -> SampleError | None:
        """The error again, None where there is a row."""
        return None if self.error is None else error_of(self.error, self.id)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "id": self.id,
            "media": self.media,
            "sample": None if self.sample is None else to_row(self.sample),
            "error": self.error,
            "dropped": [asdict(item) for item in self.dropped],
            "hashes": self.hashes.astype("<u8").tobytes().hex(),
            "motion": self.motion.tobytes().hex(),
            "seconds": dict(self.seconds),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Outcome":
        """Of JSON values."""
        return cls(
            row["id"],
            row["media"],
            None if row["sample"] is None else from_row(row["sample"]),
            row["error"],
            tuple(Dropped(**item) for item in row["dropped"]),
            np.frombuffer(bytes.fromhex(row["hashes"]), "<u8").astype(np.uint64),
            np.frombuffer(bytes.fromhex(row["motion"]), np.int8),
            row["seconds"],
        )


def error_row(error: SampleError, task: Task) -> dict[str, str]:
    """An error as JSON values; where it names no file, the task's."""
    return {"kind": type(error).__name__, "path": error.path or task.media.path, "reason": error.reason}


def error_of(row: Mapping[str, str], sample_id: str) -> SampleError:
    """The error again."""
    return getattr(errors, row["kind"])(row["reason"], path=row["path"], sample_id=sample_id)
