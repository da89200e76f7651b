"""What every source gives: a stream of clips with what is known of them, and what its copy lacks; one shape for all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.data.media import Media
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample

_SHOWN = 3
Clips = Iterator[tuple[Sample, Media]]
"""Samples, whose `video` is where they are put beside the manifest, and their media; in a fixed order, never all at once."""


@dataclass(frozen=True)
class Request:
    """What a source is asked for.

    Attributes:
        root: the local copy: a folder, or the file that lists it.
        work: a folder for what has to be unpacked or cut before it can be read, and for what has to be gathered on disk; made when needed.
        split: of clips for which the source names none.
        seed: base of the clips' own seeds.
        frame_fps: images a second of folders of images; None: not told.
    """

    root: Path
    work: Path
    split: str = "train"
    seed: int = 0
    frame_fps: float | None = None


class Notes:
    """What differs from the published release, in words; of long lists of names the first few are kept."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._left_out: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def say(self, note: str) -> None:
        """Notes a sentence."""
        self._said.append(note)

    def compare(self, what: str, count: int, published: int) -> None:
        """Notes a count that is not the published one."""
        if count != published:
            self.say(f"{count:,} {what}; the published release has {published:,}")

    def leave_out(self, reason: str, name: str) -> None:
        """Notes a row that is left out."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        names = self._left_out.setdefault(reason, [])
        if len(names) < _SHOWN:
            names.append(name)

    def __iter__(self) -> Iterator[str]:
        """All of them, once the clips have been gone through."""
        yield from self._said
        for reason, names in self._left_out.items():
            more = f" and {self._counts[reason] - _SHOWN:,} more" if self._counts[reason] > _SHOWN else ""
            yield f"left out, {reason}: {', '.join(names)}{more}"


@dataclass
class Found:
    """What a source has.

    Attributes:
        clips: to be gone through once.
        notes: complete after that.
        terms: under which its data may be used.
    """

    clips: Clips
    notes: Notes = field(default_factory=Notes)
    terms: str = ""


@dataclass(frozen=True)
class DataSource:
    """A kind of source.

    Attributes:
        name: as recipes name it (`format`).
        terms: under which its data may be used; empty where they are the user's own.
        expected: the layout, for the message where there is no clip.
        clips: goes through a local copy.
    """

    name: str
    terms: str
    expected: str
    clips: Callable[[Request, Notes], Clips]

    def find(self, request: Request) -> Found:
        """The clips of a local copy, each with a seed of its own by its place. Going through them raises ManifestError where there is none."""
        notes = Notes()
        return Found(self._seeded(request, notes), notes, self.terms)

    def _seeded(self, request: Request, notes: Notes) -> Clips:
        index = -1
        for index, (sample, media) in enumerate(self.clips(request, notes)):
            yield replace(sample, seed=own_seed(request.seed, index)), media
        if index < 0:
            raise ManifestError(f"{request.root}: no clip found; expected {self.expected}{''.join(f'. {note}' for note in notes)}")


def own_seed(seed: int, index: int) -> int:
    """The seed of the index-th clip."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def number_of(row: Mapping[str, Any], name: str, where: str) -> int:
    """A whole number out of a table's cell. Raises ManifestError."""
    value = row.get(name)
    try:
        return int(float(str(value)))
    except ValueError as error:
        raise ManifestError(f"{where}: column {name!r} holds {value!r}, expected a whole number; fetch the file again or correct the cell") from error
