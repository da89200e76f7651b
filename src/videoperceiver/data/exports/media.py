"""The media of an export: hard links to the manifest's files, films of folders of images, and V with V' as videos."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.placing import place
from videoperceiver.errors import VideoReadError
from videoperceiver.types import Clip, Sample
from videoperceiver.video.degrade import apply
from videoperceiver.video.read import iter_frames, read_clip
from videoperceiver.video.write import write_mp4, write_timed

TWIN_PX = 512
"""Longer side of V and V' written as videos."""
MAX_FPS = 30


class MediaFolder:
    """Puts a sample's media into an export's folder.

    Args:
        manifest: whose samples they are.
        folder: of the export.
        twins: write V and V' as videos too.
    """

    def __init__(self, manifest: Manifest, folder: Path, twins: bool):
        self._manifest, self._folder, self._twins = manifest, folder, twins
        self._number = 0

    def add(self, sample: Sample) -> tuple[str, Mapping[str, str]]:
        """The path of a sample's media, and those of V and V' as videos.

        Raises:
            VideoReadError: the media are not there or cannot be decoded.
            ManifestError: they lie outside the manifest's folder.
            OSError: they cannot be written.
        """
        if sample.media == "none":
            return "", {}
        source = self._manifest.resolve(sample)
        if not source.exists():
            raise VideoReadError("its media are not there; restore them beside the manifest", path=str(source), sample_id=sample.id)
        name = sample.video if sample.video.startswith("media/") else f"media/{sample.video}"  # apart from the files of rows
        name = f"{name}.frames.mp4" if source.is_dir() else name
        target = self._folder / name
        if source.is_dir() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_timed(iter_frames(source, frame_fps=sample.frame_fps), target, fps=sample.frame_fps)
        elif not source.is_dir():
            place(source, target)
        return name, self._write_twins(sample, source) if self._twins and sample.degradation else {}

    def _write_twins(self, sample: Sample, source: Path) -> dict[str, str]:
        """V and V' out of the same frames at the same rate, so that only the replaced frames differ."""
        clip = read_clip(source, t_s=sample.t_s, size_px=TWIN_PX, frame_fps=sample.frame_fps, max_frames=len(sample.t_s))
        assert sample.degradation is not None
        self._number += 1
        paths = {kind: f"{kind}/{self._number:06d}.mp4" for kind in ("full", "degraded")}
        for path, shown in zip(paths.values(), (clip, apply(clip, sample.degradation)), strict=True):
            (self._folder / path).parent.mkdir(exist_ok=True)
            fps = even_rate(shown.t_s)
            write_mp4(even_frames(shown, fps), self._folder / path, fps=fps)
        return paths


def even_rate(t_s: np.ndarray) -> float:
    """Frames a second at which no frame of a clip is lost, at most `MAX_FPS`."""
    return float(np.clip(round(1 / np.diff(t_s).min()), 1, MAX_FPS)) if len(t_s) > 1 else 1.0


def even_frames(clip: Clip, fps: float) -> Iterator[np.ndarray]:
    """A clip's frames at an even rate from second 0, so that readers that count frames instead of reading times find every event at its source second.

    Args:
        clip: T frames at times of their own.
        fps: of what is yielded; at each time the nearest frame is shown, before the first one the first.
    """
    for k in range(round(clip.t_s[-1].item() * fps) + 1):
        yield clip.frames[int(np.abs(clip.t_s - k / fps).argmin())]
