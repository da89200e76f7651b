"""Clips that an earlier one already is: the same file, or the same pictures moving in the same way. The first in source order stays.

    the same file, another path      a duplicate
    the same file, the same path     a duplicate only if nothing new is said or asked of it: sources give several rows a video
    like pictures and like motion    a duplicate unless their annotations tell them apart: events at other times, or another answer to the same question

The last exception is for what this data set is about: a clip that differs from another in one brief event is no copy of it, though it looks like one.
Whatever is kept beside its like shares a group with it (`groups_of`), so that `splits` keeps the two together.
"""

import hashlib
import sqlite3
import weakref
from dataclasses import dataclass

import numpy as np

from videoperceiver.answers.text import words
from videoperceiver.data.fingerprints import distances, evenly
from videoperceiver.types import Sample

SAME_MOTION = 0.8
"""Least correlation of the motion of like clips. Copies of 27 real clips, re-encoded at half the size, brightened and trimmed at the edges, had 0.83 or more;
different clips of one scene 0.75 or less."""
_STILL = 8.0
"""Difference of two motions, in DCT units, that is no motion but noise (a quarter of a grey level)."""
_FIRST = (0, 3, 6)
"""Positions looked at before the others: what is too far there is too far."""


@dataclass(frozen=True)
class Likeness:
    """What a clip repeats.

    Attributes:
        like: id of the first earlier clip that shows the same; "" where there is none.
        bits: how far their frames are apart; 0 for the same file.
        is_duplicate: whether this clip adds nothing to that one.
    """

    like: str = ""
    bits: float = 0.0
    is_duplicate: bool = False


class Duplicates:
    """The clips seen so far, to be asked in source order. Their hashes are held, 72 bytes a clip; the rest waits in a temporary file of sqlite's.

    Args:
        max_bits: mean bits of 64 by which the frames of like clips may differ.
    """

    def __init__(self, max_bits: float = 7):
        self.max_bits, self._num = max_bits, 0
        self._hashes, self._clip = np.zeros((8, 256), np.uint64), np.zeros(256, np.int64)  # (8, capacity), (capacity,) number of the clip
        self._table = sqlite3.connect("", isolation_level=None)  # on disk, and gone with the connection
        weakref.finalize(self, self._table.close)
        self._table.execute("PRAGMA journal_mode = OFF")
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.execute("CREATE TABLE clips (number INTEGER PRIMARY KEY, id TEXT, media INTEGER, content INTEGER, said BLOB, motion BLOB)")
        self._table.execute("CREATE INDEX contents ON clips (content) WHERE content != 0")
        self._table.execute("BEGIN")

    def check(self, sample: Sample, hashes: np.ndarray | None = None, motion: np.ndarray | None = None) -> Likeness:
        """What an earlier clip has of this one; it is then remembered, unless it is a duplicate.

        Args:
            sample: with its sha256 and all that is said of it.
            hashes: (n,) uint64 of `fingerprints.fingerprint`; None: only the same file is found.
            motion: (128,) int8 of `fingerprints.motion`; goes with `hashes`.

        Raises:
            ValueError: hashes without motion.
        """
        if (hashes is None) != (motion is None):
            raise ValueError("got one of hashes and motion; expected both or neither")
        said, content, media = _statements(sample), _digest(sample.sha256) if sample.sha256 else 0, _digest(sample.video)
        found = self._same_file(said, content, media)
        if found is None:
            found = Likeness() if hashes is None or motion is None else self._like(said, evenly(hashes), motion)
        if not found.is_duplicate:
            row = (sample.id, media, content, said, None if motion is None else motion.tobytes())
            number = self._table.execute("INSERT INTO clips (id, media, content, said, motion) VALUES (?, ?, ?, ?, ?)", row).lastrowid
            if hashes is not None and number is not None:
                self._remember(number, evenly(hashes))
        return found

    def _same_file(self, said: bytes, content: int, media: int) -> Likeness | None:
        """Of clips with the same content; None where there is none."""
        if not content:
            return None
        first, is_duplicate = "", False
        query = "SELECT id, media, said FROM clips WHERE content = ? AND content != 0 ORDER BY number"
        for name, where, before in self._table.execute(query, (content,)):
            first = first or name
            if where != media or _adds_nothing(said, before):
                is_duplicate = True
                break
        return Likeness(first, 0.0, is_duplicate) if first else None

    def _like(self, said: bytes, asked: np.ndarray, motion: np.ndarray) -> Likeness:
        """Of clips of like pictures (8,) in like motion (128,): the first one that this one adds nothing to, else the first one."""
        found = Likeness()
        bits = sum(np.bitwise_count(self._hashes[at, : self._num] ^ asked[at]).astype(np.int64) for at in _FIRST)
        near = np.flatnonzero(bits <= len(asked) * self.max_bits)
        apart = distances(asked, self._hashes[:, near])
        for row in np.flatnonzero(apart <= self.max_bits):
            number = int(self._clip[near[row]])
            name, before, moved = self._table.execute("SELECT id, said, motion FROM clips WHERE number = ?", (number,)).fetchone()
            if not _moves_alike(motion, np.frombuffer(moved, np.int8)):
                continue
            if not _contradict(said, before):
                return Likeness(name, float(apart[row]), True)
            found = found if found.like else Likeness(name, float(apart[row]))
        return found

    def _remember(self, number: int, hashes: np.ndarray) -> None:
        if self._num == len(self._clip):
            self._hashes = np.concatenate((self._hashes, np.zeros_like(self._hashes)), axis=1)
            self._clip = np.concatenate((self._clip, np.zeros_like(self._clip)))
        self._hashes[:, self._num], self._clip[self._num] = hashes, number
        self._num += 1


def groups_of(sample: Sample, likeness: Likeness) -> list[tuple[str, str]]:
    """(clip, group) pairs for `splits.assign_splits`: a clip goes with its media file, with its content, and with the clip that it is like."""
    groups = [f"file:{sample.video}", *([f"sha256:{sample.sha256}"] if sample.sha256 else []), f"clip:{sample.id}"]
    return [(sample.id, group) for group in (groups if not likeness.like else [f"clip:{likeness.like}", *groups])]


def _moves_alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two motions (128,) int8 are one, but for noise."""
    one, other = ((np.sign(part) * np.square(part.astype(np.float64)) / 4) for part in (a, b))
    if np.linalg.norm(one - other) <= _STILL:
        return True
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return bool(size > 0 and one @ other >= SAME_MOTION * size)


def _statements(sample: Sample) -> bytes:
    """Pairs of 64-bit digests, of what something is said about and of what is said: each question and its answer, the events; about 0, the caption."""
    said = [(f"question {words(question.text)}", words(question.answer)) for question in sample.questions]
    if sample.spans:
        said.append(("events", repr([(span.label, round(10 * span.start_s), round(10 * span.end_s)) for span in sample.spans])))
    pairs = [(_digest(about), _digest(what)) for about, what in said]
    return np.array([*pairs, (0, _digest(sample.caption))] if sample.caption else pairs, np.int64).tobytes()


def _pairs(said: bytes) -> set[tuple[int, int]]:
    return {(about, what) for about, what in np.frombuffer(said, np.int64).reshape(-1, 2).tolist()}


def _adds_nothing(said: bytes, before: bytes) -> bool:
    return _pairs(said) <= _pairs(before)


def _contradict(said: bytes, before: bytes) -> bool:
    """Whether both speak of one thing and say something else; captions differ in words, which tells nothing."""
    known = {about: what for about, what in _pairs(before) if about}
    return any(known.get(about, what) != what for about, what in _pairs(said) if about)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big", signed=True) or 1
