"""A folder of videos, or of folders of numbered images, with an optional `captions.jsonl`.

A line of captions.jsonl: {"file": "a.mp4", "caption": "..", "split": "train", "events": [{"start": 1.2, "end": 1.5, "label": ".."}], "frame_fps": 10},
where only `file` is required; `file` is relative to the folder and may name a folder of images, `frame_fps` is for those, times are source seconds.
"""

import json
import logging
from pathlib import Path

import numpy as np

from videoperceiver.data.manifest import SPLITS
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span
from videoperceiver.video.track import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

CAPTIONS = "captions.jsonl"
VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv", ".3gp", ".ogv"})


def found(root: Path, *, split: str, seed: int, frame_fps: float | None = None) -> list[tuple[Sample, Path]]:
    """Samples to prepare and their media, sorted by path.

    Args:
        root: the folder.
        split: of clips that name none.
        seed: base of the clips' own seeds.
        frame_fps: images a second of folders of images; None: only those count whose line in captions.jsonl gives it.

    Raises:
        ManifestError: no clip, a malformed line, or a caption of a file that is missing.
    """
    captions = _captions(root / CAPTIONS)
    videos, folders, _ = media_below(root)
    timed = [path for path in folders if frame_fps or captions.get(path.relative_to(root).as_posix(), {}).get("frame_fps")]
    clips = sorted([*videos, *timed])
    if not clips:
        raise ManifestError(f"{root}: {nothing(folders)}")
    if len(timed) < len(folders):
        logger.warning("%s: %d folders of images are left out, since nothing says how many images a second they hold; set frame_fps", root, len(folders))
    names = [path.relative_to(root).as_posix() for path in clips]
    if missing := sorted(captions.keys() - set(names)):
        raise ManifestError(f"{root / CAPTIONS}: names {missing[0]!r}, which is not in the folder; correct the line or add the file (folders need frame_fps)")
    rows = [captions.get(name, {}) for name in names]
    rates = [row.get("frame_fps", frame_fps) if path.is_dir() else None for row, path in zip(rows, clips, strict=True)]
    return [(_sample(name, row, rate, split, seed, i), path) for i, (name, row, rate, path) in enumerate(zip(names, rows, rates, clips, strict=True))]


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


def _sample(name: str, row: dict, frame_fps: float | None, split: str, seed: int, index: int) -> Sample:
    spans = tuple(Span(float(e["start"]), float(e["end"]), str(e.get("label", ""))) for e in row.get("events", ()))
    own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    caption, split = row.get("caption", ""), row.get("split", split)
    return Sample(name, name, "", split, "folder", (), caption, spans=spans, seed=own_seed, frame_fps=frame_fps)


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
