"""A manifest's questions and captions in the formats of other training tools; V' does not fit into them, see `rows`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from videoperceiver.data.exports.llama_factory import LLAMA_FACTORY
from videoperceiver.data.exports.ms_swift import MS_SWIFT
from videoperceiver.data.exports.rows import ALL, Exported, ExportFormat, write
from videoperceiver.data.exports.video_r1 import VIDEO_R1

__all__ = ["ALL", "EXPORTS", "ExportFormat", "Exported"]


class Export(Protocol):
    """Writes a manifest's rows and media into a new folder, see `rows.write`."""

    def __call__(self, manifest_path: Path, target: Path, *, split: str = "train", degraded: bool = False) -> Exported: ...


EXPORTS: Mapping[str, Export] = {form.name: partial(write, form) for form in (MS_SWIFT, LLAMA_FACTORY, VIDEO_R1)}
"""Name -> export."""
