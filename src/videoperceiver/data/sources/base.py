"""What every source gives: clips with what is known of them, and what its copy lacks; one shape for all."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample

logger = logging.getLogger(__name__)
_SHOWN = 3


@dataclass(frozen=True)
class Request:
    """What a source is asked for.

    Attributes:
        root: the local copy: a folder, or the file that lists it.
        work: a folder for what has to be unpacked or cut before it can be read; made when needed.
        split: of clips for which the source names none.
        seed: base of the clips' own seeds.
        frame_fps: images a second of folders of images; None: not told.
    """

    root: Path
    work: Path
    split: str = "train"
    seed: int = 0
    frame_fps: float | None = None


@dataclass
class Found:
    """The clips of a source, in a fixed order, and what is to be known about its copy.

    Attributes:
        clips: samples, whose `video` is where they are put beside the manifest, and their media.
        notes: what differs from the published release, in words.
        terms: under which its data may be used.
    """

    clips: list[tuple[Sample, Path]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    terms: str = ""

    def compare(self, what: str, count: int, published: int) -> None:
        """Notes a count that is not the published one."""
        if count != published:
            self.notes.append(f"{count:,} {what}; the published release has {published:,}")

    def leave_out(self, reason: str, names: Sequence[str]) -> None:
        """Notes rows that are left out, a few of them by name."""
        if names:
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            self.notes.append(f"left out, {reason}: {', '.join(names[:_SHOWN])}{more}")


@dataclass(frozen=True)
class DataSource:
    """A kind of source.

    Attributes:
        name: as recipes name it (`format`).
        terms: under which its data may be used; empty where they are the user's own.
        find: reads a local copy.
    """

    name: str
    terms: str
    find: Callable[[Request], Found]


def seeded(clips: Sequence[tuple[Sample, Path]], seed: int) -> list[tuple[Sample, Path]]:
    """Gives each clip a seed of its own, by its place."""
    return [(replace(sample, seed=own_seed(seed, i)), path) for i, (sample, path) in enumerate(clips)]


def own_seed(seed: int, index: int) -> int:
    """The seed of the index-th clip."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def require_clips(found: Found, root: Path, expected: str) -> Found:
    """The same; raises ManifestError where there is no clip, with the layout that was expected."""
    if not found.clips:
        raise ManifestError(f"{root}: no clip found; expected {expected}{''.join(f'. {note}' for note in found.notes)}")
    return found


def number_of(row: Mapping[str, object], name: str, where: str) -> int:
    """A whole number out of a table's cell. Raises ManifestError."""
    value = row.get(name)
    try:
        return int(float(str(value)))
    except ValueError as error:
        raise ManifestError(f"{where}: column {name!r} holds {value!r}, expected a whole number; fetch the file again or correct the cell") from error
