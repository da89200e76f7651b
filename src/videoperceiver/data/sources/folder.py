"""A folder of videos, or of folders of numbered images, with an optional `captions.jsonl`.

A line of captions.jsonl: {"file": "a.mp4", "caption": "..", "split": "train", "events": [{"start": 1.2, "end": 1.5, "label": ".."}], "frame_fps": 10},
where only `file` is required; `file` is relative to the folder and may name a folder of images, `frame_fps` is for those, times are source seconds.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.media import Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span
from videoperceiver.video.track import IMAGE_SUFFIXES

CAPTIONS = "captions.jsonl"
Kind = Literal["video", "images", "other"]
VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv", ".3gp", ".ogv"})


def clips(request: Request, notes: Notes) -> Clips:
    """Clips sorted by path; folders of images count where the request or their line in captions.jsonl gives their rate.

    Raises:
        ManifestError: no clip, a malformed line, or a caption of a file that is missing.
    """
    root = request.root
    captions, used, folders, found = _Captions(root / CAPTIONS), 0, 0, 0
    for path, kind in walk(root):
        name = path.relative_to(root).as_posix()
        row = captions.of(name)
        if kind == "images" and not (request.frame_fps or row.get("frame_fps")):
            folders += 1
        elif kind != "other":
            found, used = found + 1, used + (name in captions)
            yield _sample(name, row, kind == "images", request), Media(str(path))
    if not found:
        raise ManifestError(f"{root}: {nothing(folders)}")
    if folders:
        notes.say(f"{folders} folders of images are left out, since nothing says how many images a second they hold; set frame_fps")
    if used < len(captions):
        raise ManifestError(f"{root / CAPTIONS}: names {captions.missing()!r}, which is not in the folder; correct the line or add the file")


def walk(root: Path, *, is_top: bool = True) -> Iterator[tuple[Path, Kind]]:
    """Every video, folder that holds images, and other file below a folder, sorted by path; one folder's names are held at a time.

    Pictures at the top, beside the videos, are other files.
    """
    with os.scandir(root) as entries:
        names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in names:
        path = root / name
        if is_folder:
            if _holds_images(path):
                yield path, "images"
            yield from walk(path, is_top=False)
        elif path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
            yield path, "video"
        elif (is_top or path.suffix.lower() not in IMAGE_SUFFIXES) and path.is_file():
            yield path, "other"


def _holds_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and entry.is_file() for entry in entries)


def media_below(root: Path) -> tuple[list[Path], list[Path], int]:
    """Videos, folders that hold images, and how many other files there are, each sorted."""
    found = list(walk(root))
    return [path for path, kind in found if kind == "video"], [path for path, kind in found if kind == "images"], sum(kind == "other" for _, kind in found)


def nothing(num_folders: int) -> str:
    """What to do about a folder without a clip, but with folders of images."""
    if num_folders:
        return f"no video, but {num_folders} folders of images; say how many images a second they hold: frame_fps"
    return f"no video in this folder (expected {', '.join(sorted(VIDEO_SUFFIXES))}); name the folder that holds them"


def _sample(name: str, row: dict, is_folder: bool, request: Request) -> Sample:
    spans = tuple(Span(float(e["start"]), float(e["end"]), str(e.get("label", ""))) for e in row.get("events", ()))
    frame_fps = row.get("frame_fps", request.frame_fps) if is_folder else None
    return Sample(name, name, "", row.get("split", request.split), "folder", (), row.get("caption", ""), spans=spans, frame_fps=frame_fps)


class _Captions:
    """The lines of captions.jsonl by file; all are checked, and where each stands is remembered, not what it says."""

    def __init__(self, path: Path):
        self._path = path
        self._places: dict[str, int] = {}
        if not path.exists():
            return
        with path.open("rb") as file:
            place = 0
            for number, line in enumerate(file, start=1):
                if line.strip():
                    self._places[_row(line, f"{path}:{number}")["file"]] = place
                place += len(line)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def of(self, name: str) -> dict[str, Any]:
        """What a file's line says; nothing where it has none."""
        if name not in self._places:
            return {}
        with self._path.open("rb") as file:
            file.seek(self._places[name])
            return json.loads(file.readline())

    def missing(self) -> str:
        """The first file that is named and not there."""
        return min((name for name in self._places if not (self._path.parent / name).exists()), default=min(self._places))


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row["file"], str) or row.get("split", "train") not in SPLITS or not float(row.get("frame_fps", 1)) > 0:
            raise ValueError(f"file is {row['file']!r}, split is {row.get('split')!r}, frame_fps is {row.get('frame_fps')!r}")
        [(float(e["start"]), float(e["end"])) for e in row.get("events", ())]
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{where}: cannot be used ({type(error).__name__}: {error}); expected an object with file and, if known, caption, split "
            f"({', '.join(SPLITS)}), events [{{start, end, label}}] in seconds, and frame_fps of a folder of images"
        ) from error
    return row


SOURCES = (DataSource("folder", "", "videos, or folders of images with frame_fps", clips),)
