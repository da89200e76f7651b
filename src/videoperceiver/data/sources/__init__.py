"""Where stage 0's clips come from: a manifest of samples, or a folder of media."""

from pathlib import Path

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.sources import folder
from videoperceiver.types import Sample


def found(source: Path, *, split: str, seed: int, frame_fps: float | None = None) -> list[tuple[Sample, Path]]:
    """Samples to prepare and their media, in a fixed order.

    Args:
        source: a `.parquet` or `.jsonl` manifest, or a folder (`folder.py`).
        split: of clips that name none.
        seed: base of the clips' own seeds.
        frame_fps: images a second of folders of images that name none; None: folders of images are no clips.

    Raises:
        ManifestError: nothing there, a malformed line, or a caption of a file that is missing.
    """
    if source.is_dir():
        return folder.found(source, split=split, seed=seed, frame_fps=frame_fps)
    listed = Manifest(source)
    return [(sample, listed.resolve(sample)) for sample in listed]
