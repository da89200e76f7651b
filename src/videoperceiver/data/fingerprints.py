"""Perceptual hashes of videos: what shows the same pictures hashes alike, whatever its codec, size, rate or brightness.

A frame's hash is the signs of its 8 x 8 lowest DCT frequencies against their median (Zauner 2010, "Implementation and Benchmarking of Perceptual Image
Hash Functions"); two frames are compared by the bits in which they differ. Hashes see the picture and hardly what moves in it, so clips of one scene are
alike: whether two clips are the same is for `duplicates`, which compares their motion as well.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import dctn

from videoperceiver.errors import ManifestError

FPS, MIN_FRAMES, MAX_FRAMES = 4.0, 8, 512
"""How densely videos are sampled: frames a second, and bounds of their number."""
SIZE_PX = 64
"""Longer side at which frames are decoded for hashing; `fingerprint` takes any."""
INFORMATIVE = 3
"""Frames that must show something before two videos can be told to be alike."""
FLAT = np.uint64(0)
"""Hash of a frame that shows nothing: black, white, a fade. It is compared with nothing."""

_SIDE, _LOW, _CONTRAST = 32, 8, 24.0
_POSITIONS, _COARSE = 8, 4
_BLOCK = 2_000_000
_VERSION = 1


def num_frames(duration_s: float) -> int:
    """How many evenly spread frames stand for a video."""
    return int(np.clip(np.ceil(FPS * duration_s), MIN_FRAMES, MAX_FRAMES)) if duration_s < np.inf else MAX_FRAMES


def fingerprint(frames: np.ndarray) -> np.ndarray:
    """Hashes of evenly spread frames.

    Args:
        frames: (n, H, W, 3) uint8.

    Returns:
        (n,) uint64; `FLAT` for a frame without contrast.
    """
    low = _low_frequencies(frames)[:, :_LOW, :_LOW].reshape(len(frames), -1)  # (n, 64)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False  # the mean: brightness
    bits[np.abs(low[:, 1:]).max(axis=1) < _CONTRAST] = False
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]


def motion(frames: np.ndarray) -> np.ndarray:
    """What changes over a clip, coarsely, at 8 evenly spread frames.

    Args:
        frames: (n, H, W, 3) uint8.

    Returns:
        (128,) int8: the 4 x 4 lowest DCT frequencies of each less their median over time, as signed square roots in steps of 1/2.
    """
    low = _low_frequencies(frames[_positions(len(frames))])[:, :_COARSE, :_COARSE]  # (8, 4, 4)
    change = low - np.median(low, axis=0)
    return np.clip(np.round(2 * np.sign(change) * np.sqrt(np.abs(change))), -127, 127).astype(np.int8).ravel()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean bits by which two whole videos differ at 8 evenly spread frames; infinite where fewer than 3 of them show something.

    Args:
        a: (n,) uint64 hashes.
        b: (m,) uint64 hashes.
    """
    return float(distances(evenly(a), evenly(b)[:, None])[0])


def evenly(hashes: np.ndarray) -> np.ndarray:
    """The hashes (n,) at 8 evenly spread frames: (8,)."""
    return hashes[_positions(len(hashes))]


def distances(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """`distance` of (8,) hashes to (8, N) others, as `evenly` gives them: (N,)."""
    bits = np.bitwise_count(one[:, None] ^ many).sum(axis=0)  # a hash has 31 or 32 bits set: it is that far from a flat frame, as from any other by chance
    neither = ((one[:, None] == FLAT) & (many == FLAT)).sum(axis=0)
    both = ((one[:, None] != FLAT) & (many != FLAT)).sum(axis=0)
    return np.where(both >= INFORMATIVE, bits / np.maximum(_POSITIONS - neither, 1), np.inf)


def containment(a: np.ndarray, b: np.ndarray, share: float) -> float:
    """The bits within which `share` of one video's frames are found in the other, whichever of the two is found more easily.

    So a clip cut out of a longer video, that video, and a video cut out of the clip are all near.

    Args:
        a: (n,) uint64 hashes.
        b: (m,) uint64 hashes.
        share: above 0, at most 1.

    Returns:
        0 to 64; infinite where fewer than 3 frames of either show something.
    """
    a, b = a[a != FLAT], b[b != FLAT]
    if min(len(a), len(b)) < INFORMATIVE:
        return float("inf")
    bits = np.bitwise_count(a[:, None] ^ b)  # (n, m)
    return float(min(np.sort(bits.min(axis=1))[_needed(len(a), share) - 1], np.sort(bits.min(axis=0))[_needed(len(b), share) - 1]))


class Fingerprints:
    """Hashes of many videos and which of them holds the same pictures as another: exact search, in bounded memory.

    Args:
        share: of one video's frames that must be found in the other (see `containment`).
        max_bits: by which a frame may differ from the one that it is found in.
    """

    def __init__(self, share: float = 0.6, max_bits: int = 10):
        self.share, self.max_bits = share, max_bits
        self.ids: list[str] = []
        self._hashes: list[np.ndarray] = []
        self._blocks: list[tuple[int, np.ndarray, np.ndarray]] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, id: str, hashes: np.ndarray) -> None:
        """A video; frames that show nothing are left out, and one with fewer than 3 others is never found."""
        self.ids.append(id)
        self._hashes.append(np.asarray(hashes, dtype=np.uint64))
        self._blocks = None

    def nearest(self, hashes: np.ndarray) -> tuple[str, float] | None:
        """The video that shares most with some hashes (n,), and how near it is in bits; None where none is within reach. The first added of equals."""
        asked = hashes[hashes != FLAT]
        if len(asked) < INFORMATIVE:
            return None
        best: tuple[float, int] | None = None
        for first, frames, starts in self._packed():
            for row in self._within(asked, frames, starts):
                i = first + int(row)
                near = containment(asked, self._hashes[i], self.share)
                if near <= self.max_bits and (best is None or near < best[0]):
                    best = near, i
        return None if best is None else (self.ids[best[1]], best[0])

    def _within(self, asked: np.ndarray, frames: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Rows of a block of which enough frames are found, or in which enough are."""
        sizes = np.diff(np.append(starts, len(frames)))
        nearest, found = np.full(len(frames), 64, np.uint8), np.zeros(len(starts), np.int64)
        for one in asked:
            bits = np.bitwise_count(frames ^ one)
            found += np.minimum.reduceat(bits, starts) <= self.max_bits
            np.minimum(nearest, bits, out=nearest)
        covered = np.add.reduceat((nearest <= self.max_bits).astype(np.int64), starts)
        enough = (found >= _needed(len(asked), self.share)) | (covered >= np.ceil(self.share * sizes - 1e-9))
        return np.flatnonzero(enough & (sizes >= INFORMATIVE))

    def _packed(self) -> Sequence[tuple[int, np.ndarray, np.ndarray]]:
        """Blocks of videos: (index of the first, all their frames, where each video starts); every video has a frame at least."""
        if self._blocks is None:
            self._blocks, first, held, size = [], 0, [], 0
            for i, hashes in enumerate(self._hashes):
                shown = hashes[hashes != FLAT]
                held.append(shown if len(shown) else np.zeros(1, np.uint64))
                size += len(held[-1])
                if size >= _BLOCK or i == len(self._hashes) - 1:
                    lengths = np.array([len(part) for part in held])
                    self._blocks.append((first, np.concatenate(held), np.concatenate(([0], np.cumsum(lengths)[:-1]))))
                    first, held, size = i + 1, [], 0
        return self._blocks

    def items(self) -> Iterable[tuple[str, np.ndarray]]:
        """Every video with its hashes, in order."""
        return zip(self.ids, self._hashes, strict=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file of plain arrays, whole or not at all.

        Raises:
            ManifestError: it cannot be written.
        """
        path = Path(path)
        names = np.frombuffer(json.dumps({"version": _VERSION, "ids": self.ids}).encode(), np.uint8)
        lengths = np.array([len(hashes) for hashes in self._hashes], np.int64)
        frames = np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, names=names, lengths=lengths, hashes=frames)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except OSError as error:
            raise ManifestError(f"{path}: cannot be written ({error}); choose a folder that exists and is writable") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], share: float = 0.6, max_bits: int = 10) -> "Fingerprints":
        """What `save` wrote.

        Raises:
            ManifestError: no such file, or it is none of ours.
        """
        made = cls(share, max_bits)
        try:
            with np.load(path, allow_pickle=False) as stored:
                about, lengths, frames = json.loads(stored["names"].tobytes()), stored["lengths"], stored["hashes"]
            ids = about["ids"]
            if about["version"] != _VERSION or len(ids) != len(lengths) or lengths.sum() != len(frames) or frames.dtype != np.uint64:
                raise ValueError(f"version {about['version']}, {len(ids)} names, {len(lengths)} videos, {len(frames)} frames")
        except FileNotFoundError:
            raise ManifestError(f"{path}: no such index; write it with 'videoperceiver data index FOLDER --output {path}'") from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ManifestError(f"{path}: no index of this release ({error}); write it anew with 'videoperceiver data index'") from error
        ends = np.cumsum(lengths)
        for name, start, end in zip(ids, ends - lengths, ends, strict=True):
            made.add(str(name), frames[start:end])
        return made


def _low_frequencies(frames: np.ndarray) -> np.ndarray:
    """DCT of the brightness of frames (n, H, W, 3), averaged down to 32 x 32: (n, 32, 32) float32; a step of 32 in the first is one grey level."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"got frames of shape {frames.shape} and {frames.dtype}; expected (n, H, W, 3) uint8 with n > 0")
    small = [np.asarray(Image.fromarray(frame).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32) for frame in frames]
    return np.asarray(dctn(np.stack(small), axes=(1, 2), norm="ortho"))


def _positions(count: int) -> np.ndarray:
    return np.floor(np.linspace(0, count - 1, _POSITIONS) + 0.5).astype(np.int64)


def _needed(count: int, share: float) -> int:
    """How many of `count` frames `share` of them are, at least one."""
    return max(1, int(np.ceil(share * count - 1e-9)))
