"""Clips that an earlier one already is: the same file, or the same pictures moving in the same way. The first in source order stays.

    the same file, another path      a duplicate
    the same file, the same path     a duplicate only if nothing new is said or asked of it: sources give several rows a video
    like pictures and like motion    a duplicate unless their annotations tell them apart: events at other times, or another answer to the same question

The last exception is for what this data set is about: a clip that differs from another in one brief event is no copy of it, though it looks like one.
Whatever is kept beside its like shares a group with it (`groups_of`), so that `splits` keeps the two together.
"""

import hashlib
from collections.abc import Iterator
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
    """The clips seen so far, to be asked in source order; under a kilobyte a clip.

    Args:
        max_bits: mean bits of 64 by which the frames of like clips may differ.
    """

    def __init__(self, max_bits: float = 7):
        self.max_bits = max_bits
        self._ids: list[str] = []
        self._media: list[int] = []
        self._said: list[bytes] = []
        self._by_content: dict[int, list[int]] = {}
        self._hashed: list[int] = []
        self._hashes, self._motion = np.zeros((8, 256), np.uint64), np.zeros((256, 128), np.int8)  # (8, capacity), (capacity, 128)

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
        same = self._by_content.get(content, []) if content else []
        like, bits = (same[0], 0.0) if same else (-1, 0.0)
        is_duplicate = any(self._media[i] != media or _adds_nothing(said, self._said[i]) for i in same)
        if not same and hashes is not None and motion is not None:
            for i, apart in self._alike(evenly(hashes), motion):
                like, bits = (i, apart) if like < 0 else (like, bits)
                if not _contradict(said, self._said[i]):
                    like, bits, is_duplicate = i, apart, True
                    break
        found = Likeness(self._ids[like], bits, is_duplicate) if like >= 0 else Likeness()
        if not is_duplicate:
            self._remember((sample.id, media, content), said, hashes, motion)
        return found

    def _alike(self, asked: np.ndarray, motion: np.ndarray) -> Iterator[tuple[int, float]]:
        """Earlier clips of like pictures in like motion and how far they are apart, the first one first."""
        num = len(self._hashed)
        bits = sum(np.bitwise_count(self._hashes[at, :num] ^ asked[at]).astype(np.int64) for at in _FIRST)
        near = np.flatnonzero(bits <= len(asked) * self.max_bits)
        apart = distances(asked, self._hashes[:, near])
        for row in np.flatnonzero(apart <= self.max_bits):
            if _moves_alike(motion, self._motion[near[row]]):
                yield self._hashed[near[row]], float(apart[row])

    def _remember(self, about: tuple[str, int, int], said: bytes, hashes: np.ndarray | None, motion: np.ndarray | None) -> None:
        index, (name, media, content) = len(self._ids), about
        self._ids.append(name)
        self._media.append(media)
        self._said.append(said)
        if content:
            self._by_content.setdefault(content, []).append(index)
        if hashes is None or motion is None:
            return
        num = len(self._hashed)
        if num == len(self._motion):
            self._hashes = np.concatenate((self._hashes, np.zeros_like(self._hashes)), axis=1)
            self._motion = np.concatenate((self._motion, np.zeros_like(self._motion)))
        self._hashes[:, num], self._motion[num] = evenly(hashes), motion
        self._hashed.append(index)


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
    return np.array([*pairs, (0, _digest(sample.caption))] if sample.caption else pairs, np.uint64).tobytes()


def _pairs(said: bytes) -> set[tuple[int, int]]:
    return {(about, what) for about, what in np.frombuffer(said, np.uint64).reshape(-1, 2).tolist()}


def _adds_nothing(said: bytes, before: bytes) -> bool:
    return _pairs(said) <= _pairs(before)


def _contradict(said: bytes, before: bytes) -> bool:
    """Whether both speak of one thing and say something else; captions differ in words, which tells nothing."""
    known = {about: what for about, what in _pairs(before) if about}
    return any(known.get(about, what) != what for about, what in _pairs(said) if about)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") or 1
