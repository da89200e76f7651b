"""Clips of a manifest, read at model size and kept in memory up to a bound, on disk too where wanted."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from videoperceiver.data import manifest, reviews
from videoperceiver.data.pixels import ContentCache, content_key
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.types import Clip, Sample, media_of
from videoperceiver.video.read import read_clip
from videoperceiver.video.wire import ReadRequest

Fit = Callable[[np.ndarray], np.ndarray]
"""Frames (T, H, W, 3) uint8 -> the same at the size a model takes."""
_FITTED = "fitted/1"


class ClipStore:
    """Samples of one or several manifests and their clips.

    Args:
        manifests: manifest files; ids must be unique over all of them.
        fit: resizes frames as the model's processor would.
        split: keep samples of this split only; empty = all. Samples that a reviewer rejected are left out.
        memory_mb: decoded frames kept; the least recently used leave first.
        folder: keeps clips on disk as well (`pixels.ContentCache`), for later runs; "" = none. Rows are trusted to name their media's sha256;
            clips of those that name none are not kept.
        fit_key: everything that decides what `fit` does: clips in the folder are shared by the runs that agree on it.
    """

    def __init__(self, manifests: Sequence[str | Path], fit: Fit, *, split: str = "", memory_mb: int = 2048, folder: str = "", fit_key: str = ""):
        self.samples: list[Sample] = []
        self.sizes: list[int] = []  # samples of each manifest
        self._paths: dict[str, Path] = {}
        for path in map(Path, manifests):
            for sample in manifest.read(path):
                if (split and sample.split != split) or reviews.of(sample) == "rejected":
                    continue
                if sample.id in self._paths:
                    raise ConfigError(f"sample id {sample.id!r} of {path} is also in another manifest of this run; ids must be unique: rename one source")
                self._paths[sample.id] = manifest.resolve(path, sample) if sample.media != "none" else Path()
                self.samples.append(sample)
            self.sizes.append(len(self.samples) - sum(self.sizes))
        if not self.samples:
            where, of_split = ", ".join(map(str, manifests)), f" of split {split!r}" if split else ""
            raise ConfigError(f"no sample{of_split} in {where}; run `videoperceiver data build` or choose another split")
        self._fit, self._room = fit, memory_mb * 2**20
        self._cache: OrderedDict[str, Clip] = OrderedDict()
        if folder and Path(folder).exists() and not Path(folder).is_dir():
            raise ConfigError(f"clip_cache is {folder!r}, which is a file; expected a folder or a new name")
        self._disk, self._fit_key = ContentCache(folder) if folder else None, fit_key

    def refuse(self, problem: Callable[[Sample], SampleError | None]) -> list[SampleError]:
        """Drops the samples that have a problem, and returns the problems.

        Raises:
            ConfigError: no sample is left.
        """
        found = [problem(sample) for sample in self.samples]
        ends = np.cumsum(self.sizes)
        self.sizes = [sum(bad is None for bad in found[end - size : end]) for size, end in zip(self.sizes, ends, strict=True)]
        self.samples = [sample for sample, bad in zip(self.samples, found, strict=True) if bad is None]
        refused = [bad for bad in found if bad is not None]
        if not self.samples:
            raise ConfigError(f"none of the {len(found)} samples can be trained on; the first: {refused[0]}")
        return refused

    def clip(self, sample: Sample) -> Clip:
        """Exactly the sample's frames, at model size. Raises VideoReadError."""
        if (held := self.held(sample)) is not None:
            return held
        if (clip := self.stored(sample)) is None:
            request = self.request(sample)
            clip = self.fitted(sample, read_clip(request.source, **request.options))
        self.keep(sample, clip)
        return clip

    def held(self, sample: Sample) -> Clip | None:
        """The clip where it is still in memory; a row of text alone has an empty one."""
        if sample.media == "none":
            return Clip(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), sample.id)
        if sample.id in self._cache:
            self._cache.move_to_end(sample.id)
        return self._cache.get(sample.id)

    def stored(self, sample: Sample) -> Clip | None:
        """The clip as this or an earlier run left it on disk."""
        entry = self._disk.get(self._key(sample)) if self._disk is not None and sample.sha256 else None
        return Clip(entry["frames"], entry["t_s"], str(self._paths[sample.id])) if entry is not None else None

    def request(self, sample: Sample) -> ReadRequest:
        """What reads the clip, here or in another process."""
        return ReadRequest(self._paths[sample.id], {"t_s": sample.t_s, "frame_fps": sample.frame_fps}, sample.id)

    def fitted(self, sample: Sample, clip: Clip) -> Clip:
        """What was read, at model size, which the disk keeps; a picture as it is, since models size pictures by other rules than videos."""
        if media_of(clip.source) == "image":
            return clip
        fitted = Clip(self._fit(clip.frames), clip.t_s, clip.source)
        if self._disk is not None and sample.sha256:
            self._disk.put(self._key(sample), {"frames": fitted.frames, "t_s": fitted.t_s})
        return fitted

    def keep(self, sample: Sample, clip: Clip) -> None:
        """Remember a clip at model size; the least recently used leave where there is no room."""
        if sample.id in self._cache:
            return
        self._cache[sample.id] = clip
        self._room -= clip.frames.nbytes
        while self._room < 0 and len(self._cache) > 1:
            self._room += self._cache.popitem(last=False)[1].frames.nbytes

    def _key(self, sample: Sample) -> str:
        return content_key(_FITTED, sample.sha256, list(sample.t_s), sample.frame_fps, self._fit_key)
