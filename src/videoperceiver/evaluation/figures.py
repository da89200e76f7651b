"""Samples of a manifest as figures for the pages."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.data import manifest
from videoperceiver.data.present import figure_of
from videoperceiver.evaluation.ledger import CLIPS
from videoperceiver.evaluation.saved import read_config
from videoperceiver.pages import ClipFigure
from videoperceiver.pages.filmstrip import choose_columns
from videoperceiver.types import BLANK
from videoperceiver.video.read import read_clip

THUMBNAIL_PX = 176
SHOWN = 16


def manifest_figures(path: str | Path) -> Callable[[str], ClipFigure | None]:
    """A lookup of sample ids in a manifest for `report.build_report`; None for ids it does not hold.

    Raises:
        ManifestError: the manifest cannot be read. The lookup raises VideoReadError for unreadable media.
    """
    samples = {sample.id: sample for sample in manifest.read(path)}

    def look_up(sample_id: str) -> ClipFigure | None:
        sample = samples.get(sample_id)
        if sample is None:
            return None
        return figure_of(sample, read_clip(manifest.resolve(path, sample), t_s=sample.t_s, size_px=THUMBNAIL_PX, frame_fps=sample.frame_fps))

    return look_up


def run_figures(folders: Sequence[str | Path]) -> Callable[[str], ClipFigure | None]:
    """A lookup of sample ids among the benchmark videos that evaluation runs saw (their clips.jsonl), the last run first; None where no video is at hand.

    Raises:
        RunError: a run's config is damaged. The lookup raises VideoReadError for unreadable media.
    """
    places: dict[str, tuple[Path, int, Path]] = {}
    for folder in map(Path, folders):
        root, path = (read_config(folder).get("benchmark") or {}).get("videos"), folder / CLIPS
        if root and path.is_file():
            with path.open("rb") as file:
                offset = 0
                for line in file:
                    record = json.loads(line)
                    if record["t_s"]:  # a run on given answers saw nothing
                        places[str(record["sample"])] = (path, offset, Path(root))
                    offset += len(line)

    def look_up(sample_id: str) -> ClipFigure | None:
        if sample_id not in places:
            return None
        path, offset, root = places[sample_id]
        with path.open("rb") as file:
            file.seek(offset)
            record = json.loads(file.readline())
        video = next((found for found in (root / record["video"], root / Path(record["video"]).name) if found.exists()), None)
        return None if video is None else _seen(video, record)

    return look_up


def _seen(video: Path, record: Mapping[str, Any]) -> ClipFigure:
    """What was seen of one video, and the V' of the first question that had one; a few frames stand for many."""
    made = next((item for item in record["degraded"].values() if item), None)
    source_idx, t_s = tuple(made["source_idx"]) if made else (), record["t_s"]
    chosen = choose_columns(t_s, source_idx, [], SHOWN)
    needed = sorted({*chosen, *(source_idx[i] for i in chosen if source_idx)} - {BLANK})
    clip = read_clip(video, t_s=np.asarray(t_s)[needed], size_px=THUMBNAIL_PX)
    return ClipFigure(
        title=f"Sample {record['sample']}",
        frames=clip.frames,
        frames_idx=needed,
        t_s=t_s,
        source_idx=source_idx,
        operator=made["operator"] if made else "",
        note=f"{len(t_s)} frames were seen." + (" V′ is that of the first question that has one." if made else ""),
    )
