"""An index of a benchmark's videos, so that training clips that show the same are found: `videoperceiver data index`.

Any layout will do: every video and every folder of images below a folder is read, and named by its path there. What cannot be read is told with its reason.
Beside the index lies a journal of what was read: a stopped command goes on from it, and one that is run again reads only files that are new or have changed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.data import fingerprints
from videoperceiver.data.fingerprints import Fingerprints, fingerprint, num_frames
from videoperceiver.data.journal import Journal, rows_of
from videoperceiver.data.sources.folder import nothing, walk
from videoperceiver.errors import ManifestError, SampleError
from videoperceiver.video.pool import DecodePool, ReadRequest

IMAGES_FPS = 30.0
"""Assumed rate of folders of images: it says how many of them are hashed, and nothing else."""


@dataclass
class Indexed:
    """What came of an index.

    Attributes:
        videos: how many are in it.
        frames: hashes in it.
        read: videos that were read now; the others were known from before.
        unreadable: (name, reason) of those that are not in it.
        blank: names of those in it that cannot be found, since hardly a frame of theirs shows anything.
    """

    videos: int = 0
    frames: int = 0
    read: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)


def index_folder(
    folder: Path,
    output: Path,
    *,
    num_workers: int = 2,
    deadline_s: float = 120.0,
    memory_mb: int = 2048,
    advance: Callable[[str], None] = lambda name: None,
) -> Indexed:
    """Hashes every video below a folder and writes their index; `output`.jsonl is the journal.

    Args:
        folder: of the benchmark; its name comes first in the names of its videos.
        output: the index, an .npz file.
        num_workers: decoding processes.
        deadline_s: seconds a video may take.
        memory_mb: memory a video may take.
        advance: called with the name of each video that was read.

    Raises:
        ManifestError: no video below the folder, or none that can be read.
    """
    found = videos_below(folder)
    journal = output.with_name(f"{output.name}.jsonl")
    output.parent.mkdir(parents=True, exist_ok=True)
    known = {row["id"]: row["stamp"] for row in rows_of(journal)}
    left = [(name, path) for name, path in found.items() if known.get(name) != _stamp(path)]
    with DecodePool(num_workers, deadline_s, memory_mb) as pool, ThreadPoolExecutor(num_workers) as threads, Journal(journal) as log:
        for row in threads.map(lambda item: _read(pool, *item), left):
            log.add(row)
            advance(row["id"])
    result, index = Indexed(read=len(left)), Fingerprints()
    latest = {row["id"]: row for row in rows_of(journal) if row["id"] in found}
    for name in found:
        row = latest[name]
        if row["error"]:
            result.unreadable.append((name, row["error"]))
            continue
        hashes = np.frombuffer(bytes.fromhex(row["hashes"]), "<u8").astype(np.uint64)
        index.add(name, hashes)
        result.frames += len(hashes)
        if (hashes != fingerprints.FLAT).sum() < fingerprints.INFORMATIVE:
            result.blank.append(name)
    result.videos = len(index)
    if not result.videos:
        name, reason = result.unreadable[0]
        raise ManifestError(f"{folder}: none of its {len(found)} videos can be read, the first being {name!r} ({reason}); nothing was written")
    index.save(output)
    return result


def videos_below(folder: Path) -> dict[str, Path]:
    """Name -> path of every video and folder of images below a folder, sorted by path.

    Raises:
        ManifestError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder; expected the folder that holds a benchmark's videos")
    label = folder.resolve().name
    found = {f"{label}/{path.relative_to(folder).as_posix()}": path for path, kind in walk(folder) if kind != "other"}
    if not found:
        raise ManifestError(f"{folder}: {nothing(0)}")
    return found


def _read(pool: DecodePool, name: str, path: Path) -> dict[str, Any]:
    """The journal's row of a video."""
    row: dict[str, Any] = {"id": name, "stamp": _stamp(path), "hashes": "", "error": ""}
    frame_fps = IMAGES_FPS if path.is_dir() else None
    try:
        [times] = pool.ask(ReadRequest(str(path), {"frame_fps": frame_fps}, name, "times"))
        options = {"num_frames": num_frames(float(times.t_s[-1] - times.t_s[0])), "size_px": fingerprints.SIZE_PX, "frame_fps": frame_fps}
        [clip] = pool.ask(ReadRequest(str(path), options, name))
        row["hashes"] = fingerprint(clip.frames).astype("<u8").tobytes().hex()
    except SampleError as error:
        row["error"] = error.reason
    return row


def _stamp(path: Path) -> list[int]:
    """What changes when a video does: bytes or number of files, and when they were last written."""

    def parts() -> Iterator[Path]:
        yield from path.iterdir() if path.is_dir() else (path,)

    states = [part.stat() for part in parts()]
    return [sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)]
