"""Content-addressed cache of arrays, decoded pixels first of all: everything in it can be rebuilt, so it may be deleted at any time.

An entry's key is the hash of everything its value depends on (the media's bytes, times, size, format version), so entries are never updated and never
stale. Files appear by atomic rename: concurrent writers of one entry write the same bytes and the last one wins. What was used longest ago leaves first.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.video.source import Source
from videoperceiver.video.track import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)
_ABANDONED_S = 3600.0
_CHECKS_PER_BOUND = 20


class ContentCache:
    """Arrays under keys in a folder, bounded in size.

    The bound is enforced each time a twentieth of it has been written, so several writers may exceed it by that much each for a while.
    A folder that cannot be written costs a warning and the speed, nothing else.

    Args:
        folder: made when the first entry is stored; may be shared by processes and runs.
        max_bytes: of all entries together; an entry larger than that is not stored.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 20 * 2**30):
        self.folder, self.max_bytes = Path(folder), max_bytes
        self._unchecked_bytes = max_bytes  # look at the first write: others may have filled the folder
        self._is_writable = True

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays of an entry, None where there is none; a damaged entry is removed where it may be, and counts as none."""
        path = self._path(key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
                arrays = {name: entry[name] for name in entry.files}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            logger.warning("cache entry %s is damaged (%s); it will be rebuilt", path, error)
            with suppress(PermissionError):
                _remove(path)
            return None
        with suppress(FileNotFoundError, PermissionError):  # removed meanwhile, or another user's: it was read all the same
            os.utime(path)
        return arrays

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store an entry, and make room for it where needed."""
        num_bytes = sum(array.nbytes for array in arrays.values())
        if not self._is_writable or num_bytes > self.max_bytes:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, arrays)
        except OSError as error:
            self._is_writable = False
            logger.warning("cache %s cannot be written (%s); going on without it. Free space or name another folder", self.folder, error)
            return
        self._unchecked_bytes += num_bytes
        if self._unchecked_bytes >= self.max_bytes / _CHECKS_PER_BOUND:
            self._unchecked_bytes = 0
            self._make_room()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def _write(self, path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.replace(name, path)
        finally:
            _remove(Path(name))

    def _make_room(self) -> None:
        entries, total = [], 0
        for path in self.folder.glob("*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if path.suffix == ".part" and status.st_mtime < time.time() - _ABANDONED_S:
                _remove(path)
            elif path.suffix == ".npz":
                entries.append((status.st_mtime_ns, status.st_size, path))
                total += status.st_size
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                break
            _remove(path)
            total -= size


def content_key(*parts: Any) -> str:
    """A key from everything a value depends on; the parts are plain JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_hash(source: Source) -> str:
    """sha256 of a file's bytes, of bytes given, or of a folder's image files one after the other, sorted by name."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    path = Path(os.fsdecode(source))
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
