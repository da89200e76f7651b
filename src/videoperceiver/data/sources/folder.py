"""A folder of videos, or of folders of numbered images, with an optional `captions.jsonl`.

A line of captions.jsonl: {"file": "a.mp4", "caption": "..", "split": "train", "events": [{"start": 1.2, "end": 1.5, "label": ".."}], "frame_fps": 10},
where only `file` is required; `file` is relative to the folder and may name a folder of images, `frame_fps` is for those, times are source seconds.
"""

import json
from pathlib import Path

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.sources.base import DataSource, Found, Request, seeded
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span
from videoperceiver.video.track import IMAGE_SUFFIXES

CAPTIONS = "captions.jsonl"
VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv", ".3gp", ".ogv"})


def find(request: Request) -> Found:
    """Clips sorted by path; folders of images count where the request or their line in captions.jsonl gives their rate.

    Raises:
        ManifestError: no clip, a malformed line, or a caption of a file that is missing.
    """
    root = request.root
    captions = _captions(root / CAPTIONS)
    videos, folders, _ = media_below(root)
    timed = [path for path in folders if request.frame_fps or captions.get(path.relative_to(root).as_posix(), {}).get("frame_fps")]
    clips, found = sorted([*videos, *timed]), Found()
    if not clips:
        raise ManifestError(f"{root}: {nothing(folders)}")
    if len(timed) < len(folders):
        found.notes.append(f"{len(folders) - len(timed)} folders of images are left out, since nothing says how many images a second they hold; set frame_fps")
    names = [path.relative_to(root).as_posix() for path in clips]
    if missing := sorted(captions.keys() - set(names)):
        raise ManifestError(f"{root / CAPTIONS}: names {missing[0]!r}, which is not in the folder; correct the line or add the file (folders need frame_fps)")
    samples = [_sample(name, captions.get(name, {}), path.is_dir(), request) for name, path in zip(names, clips, strict=True)]
    found.clips = seeded(list(zip(samples, clips, strict=True)), request.seed)
    return found


def media_below(root: Path) -> tuple[list[Path], list[Path], int]:
    """Videos, folders that hold images, and how many other files there are, each sorted."""
    videos, folders, num_other = [], set(), 0
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
            videos.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES and path.parent != root and path.is_file():
            folders.add(path.parent)
        elif path.is_file():
            num_other += 1
    return videos, sorted(folders), num_other


def nothing(folders: list[Path]) -> str:
    """What to do about a folder without a clip."""
    if folders:
        return f"no video, but {len(folders)} folders of images; say how many images a second they hold: frame_fps"
    return f"no video in this folder (expected {', '.join(sorted(VIDEO_SUFFIXES))}); name the folder that holds them"


def _sample(name: str, row: dict, is_folder: bool, request: Request) -> Sample:
    spans = tuple(Span(float(e["start"]), float(e["end"]), str(e.get("label", ""))) for e in row.get("events", ()))
    frame_fps = row.get("frame_fps", request.frame_fps) if is_folder else None
    return Sample(name, name, "", row.get("split", request.split), "folder", (), row.get("caption", ""), spans=spans, frame_fps=frame_fps)


def _captions(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row["file"], str) or row.get("split", "train") not in SPLITS or not float(row.get("frame_fps", 1)) > 0:
                raise ValueError(f"file is {row['file']!r}, split is {row.get('split')!r}, frame_fps is {row.get('frame_fps')!r}")
            [(float(e["start"]), float(e["end"])) for e in row.get("events", ())]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{path}:{number}: cannot be used ({type(error).__name__}: {error}); expected an object with file and, if known, caption, split "
                f"({', '.join(SPLITS)}), events [{{start, end, label}}] in seconds, and frame_fps of a folder of images"
            ) from error
        rows[row["file"]] = row
    return rows


SOURCES = (DataSource("folder", "", find),)
