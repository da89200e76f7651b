"""Preflight: decode every clip of a manifest or folder once, in killable workers, before a long run meets the bad ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.pixels import content_hash
from videoperceiver.data.sources.folder import media_below, nothing
from videoperceiver.errors import ManifestError, SampleError
from videoperceiver.types import Sample
from videoperceiver.video.pool import DecodePool, ReadRequest

_SIZE_PX = 64  # decoding is what is checked; small pictures keep the pipe free


@dataclass(frozen=True)
class Candidate:
    """A clip to check: what a stage would read of it.

    Attributes:
        path: the media.
        options: of `video.read.read_clip`.
        sample: the manifest's row, None for a bare file.
    """

    path: Path
    options: dict[str, Any]
    sample: Sample | None = None


@dataclass(frozen=True)
class Checked:
    """One clip's verdict.

    Attributes:
        name: the sample's id, or the file.
        problem: why it cannot be used, None where it can.
        num_frames: frames that will be used.
        start_s: time of the first of them.
        end_s: time of the last of them.
        assumed: what had to be assumed about the times; see `types.Clip`.
    """

    name: str
    problem: str | None
    num_frames: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    assumed: str = ""


def candidates(source: str | Path, *, fps: float, frame_fps: float | None = None) -> tuple[list[Candidate], int]:
    """The clips of a manifest, or those below a folder, and how many other files lie there.

    Args:
        source: a .parquet or .jsonl manifest, or a folder.
        fps: sampling of bare files; a manifest names its frames.
        frame_fps: images a second of folders of images; None: they are no clips.

    Raises:
        ManifestError: no such path, a malformed manifest, or a folder without a video.
    """
    source = Path(source)
    if not source.exists():
        raise ManifestError(f"{source}: no such file or folder; expected a .parquet or .jsonl manifest, or a folder of videos")
    if not source.is_dir():
        manifest = Manifest(source)
        return [Candidate(manifest.resolve(sample), _options(sample, fps), sample) for sample in manifest if sample.media != "none"], 0
    videos, folders, num_other = media_below(source)
    clips = sorted(videos + (folders if frame_fps else []))
    if not clips:
        raise ManifestError(f"{source}: {nothing(len(folders))}")
    return [Candidate(path, {"fps": fps, "frame_fps": frame_fps}) for path in clips], num_other


def _options(sample: Sample, fps: float) -> dict[str, Any]:
    return {**({"t_s": sample.t_s} if sample.t_s else {"fps": fps}), "frame_fps": sample.frame_fps}


def check(clips: Sequence[Candidate], *, num_workers: int = 2, deadline_s: float = 60.0, memory_mb: int = 2048) -> Iterator[Checked]:
    """Verdicts in order, as they come.

    Args:
        clips: from `candidates`.
        num_workers: decoding processes.
        deadline_s: seconds a clip may take.
        memory_mb: memory a clip may take.
    """
    requests = (ReadRequest(str(clip.path), {**clip.options, "size_px": _SIZE_PX}, clip.sample.id if clip.sample else None) for clip in clips)
    with DecodePool(num_workers, deadline_s, memory_mb) as pool:
        for clip, result in zip(clips, pool.read(requests), strict=True):
            name = clip.sample.id if clip.sample else str(clip.path)
            if isinstance(result, SampleError):
                yield Checked(name, result.reason)
            elif clip.sample and clip.sample.sha256 and content_hash(clip.path) != clip.sample.sha256:
                yield Checked(name, "the file's content is not what the manifest was built from (sha256 differs); build the manifest anew")
            else:
                yield Checked(name, None, len(result), float(result.t_s[0]), float(result.t_s[-1]), result.assumed)
